"""The plan as a whole: its sums, and what does not fit."""

from typing import Any

from tests.planning.studies import NETWORK, PHASE, SETTINGS, changed
from unfreeze.dvc_workspace import Step
from unfreeze.planning.changes import Outlook, Reason
from unfreeze.planning.forecast import Past
from unfreeze.planning.jobs import Scale, describe_job
from unfreeze.planning.machine import Room, Speed
from unfreeze.planning.networks import Network
from unfreeze.planning.plan import Plan, Study, make_plan

PLENTY = Room(disk_gb=1000.0, memory_gb=100.0)
SCALE = Scale(images=2000, raw_mb=100.0, backbones=1, seeds=0)
NAMES = ("preprocess", "extract@a", "finetune@a", "verdict")


def plan(
    *,
    room: Room = PLENTY,
    scale: Scale | None = SCALE,
    kept: tuple[str, ...] = (),
    settings: dict[str, Any] = SETTINGS,
    pasts: tuple[Past, ...] = (),
    slowness: tuple[str, ...] = (),
    network: Network = NETWORK,
    names: tuple[str, ...] = NAMES,
) -> Plan:
    outlooks = [
        Outlook(
            Step(name, "", (), {}, (), restorable=True),
            "keep" if name in kept else "run",
            (Reason("parameter", "seed: 0 -> 1"), Reason("upstream", "evaluate@a"), Reason("upstream", "evaluate@b")),
        )
        for name in names
    ]
    return make_plan(outlooks, Study(settings, scale, {"a": network}), pasts, Speed(), room, slowness=slowness)


def test_sums_are_those_of_the_stages_that_run() -> None:
    whole, part = plan(), plan(kept=("extract@a",))
    extract = whole.stages[1]
    assert whole.seconds and part.seconds and extract.seconds and whole.disk_gb and part.disk_gb and extract.disk_mb
    assert round(whole.seconds - part.seconds, 6) == round(extract.seconds, 6)
    # Finetuning takes room besides, in either plan.
    assert round(whole.disk_gb - part.disk_gb, 6) == round(extract.disk_mb / 1000, 6)
    assert whole.does_not_fit == ()
    assert [stage.name for stage in part.running] == ["preprocess", "finetune@a", "verdict"]


def test_reasons_name_stages_that_run_once_a_backbone_once() -> None:
    assert plan().stages[3].why == "seed: 0 -> 1; evaluate run"


def test_a_disk_that_is_too_small_names_the_stage_on_which_it_fills_up() -> None:
    # Images take 0.15 GB, DVC's copy as much.
    (line,) = plan(room=Room(disk_gb=0.2, memory_gb=100.0), kept=("extract@a",)).does_not_fit
    assert line.startswith("preprocess needs 0.3 GB of disk with what comes before it, 0.2 GB are free")


def test_too_little_memory_names_the_stages_that_lack_it() -> None:
    lines = plan(room=Room(disk_gb=1000.0, memory_gb=1.0)).does_not_fit
    assert [line.split()[0] for line in lines] == ["extract@a", "finetune@a"]
    assert "1.0 GB are free" in lines[0]


def test_activations_that_do_not_fit_are_told_with_what_is_done_instead() -> None:
    line = plan(room=Room(disk_gb=0.25, memory_gb=100.0)).does_not_fit[0]
    assert line.startswith(
        "activations of a behind late take 0.2 GB, the disk has room for 0.1 beside DVC's copy: they are cut behind "
        "early instead, 0.1 GB, about "
    )
    assert "longer. To store them free 1 GB of disk, or " in line


def test_activations_past_the_limit_are_told_with_what_they_cost_and_what_to_set() -> None:
    # 1,600 rows of 50,000 numbers of 2 bytes: 0.16 GB, of which 400 rows are of the validation fold.
    tight = changed(extract={"max_gb": 0.06})
    (line,) = plan(settings=tight).does_not_fit
    assert line == (
        "activations of a behind late take 0.2 GB, extract.max_gb is 0.06: they are computed in every epoch, about "
        "3 min longer. To store them set extract.max_gb=1, or train on a sample of whole groups with the same share "
        "of each class: split.train=0.09 split.calibration=0.51"
    )
    # What is offered fits: 180 + 400 rows.
    assert plan(settings=changed(extract={"max_gb": 1})).does_not_fit == ()
    offered = changed(extract={"max_gb": 0.06}, split={"train": 0.09, "calibration": 0.51})
    assert plan(settings=offered).does_not_fit == ()


def test_the_price_of_activations_that_are_not_stored_follows_epochs_and_earlier_runs() -> None:
    # 1,600 rows of 2 G multiply-accumulates take 18 s: four more epochs are 73 s.
    tuned = {"default": {**PHASE, "epochs": 8}}
    longer = changed(extract={"max_gb": 0.06}, train={"finetune": tuned})
    assert "about 4 min longer" in plan(settings=longer).does_not_fit[0]
    tight = changed(extract={"max_gb": 0.06})
    job = describe_job("finetune", "a", tight, SCALE, NETWORK)
    whole = plan(settings=tight).stages[2]
    assert whole.seconds is not None
    slow = Past("a", job, seconds=10 * whole.seconds, peak_mb=1000.0)
    # Of the 2 minutes 92 s are of fine-tuning.
    assert "about 16 min longer" in plan(settings=tight, pasts=(slow,)).does_not_fit[0]


def test_the_plan_says_whether_activations_are_stored_and_why() -> None:
    (stored,) = plan().choices
    assert stored == (
        "a: activations behind late are stored, 100 kB an image, 0.2 GB: no epoch repeats their 2,000.0 million "
        "multiply-adds an image, 20,000 a byte"
    )
    assert plan(kept=("extract@a",)).choices == ()
    cuts = [cut.model_copy(update={"macs": 5_000_000}) if cut.name == "late" else cut for cut in NETWORK.cuts]
    low = plan(network=NETWORK.model_copy(update={"cuts": tuple(cuts)}))
    assert low.choices == (
        "a: training begins at the pixels: activations behind late would take 100 kB an image for 5.0 million "
        "multiply-adds, 50 a byte; below 100 a step computes them sooner than it reads them",
    )
    # Pixels are stored in place of them, with DVC's copy, and nothing is moved for want of room.
    assert low.stages[1].disk_mb == 2 * 1600 * 76_800 / 1e6
    assert low.does_not_fit == ()


def test_the_plan_names_trials_that_may_follow_and_what_bounds_them() -> None:
    names = ("extract@a", "search@a")
    (_, without) = plan(names=names).choices
    assert without == (
        "a: not among these minutes are up to 3 trials from deeper layers and fine-tuning from there, which follow "
        "where the deepest point of the others is the best or their result is poor, without a limit of time: "
        "study.minutes sets one"
    )
    (_, within) = plan(names=names, settings={**SETTINGS, "study": {"minutes": 5}}).choices
    assert within.endswith("or their result is poor, within study.minutes=5")
    assert len(plan(names=names, settings=changed(search={"deeper": 0})).choices) == 1
    whole = NETWORK.model_copy(update={"candidates": (9, 0)})
    assert len(plan(names=names, network=whole).choices) == 0, "from the pixels on there is nothing deeper"


def test_before_the_images_are_known_so_is_no_time() -> None:
    unknown = plan(scale=None)
    assert unknown.seconds is None and unknown.images is None
    assert [stage.seconds for stage in unknown.stages] == [None] * 4


def test_what_slows_the_machine_down_is_part_of_a_plan_in_which_anything_runs() -> None:
    slow = ("slow: TF_ENABLE_ONEDNN_OPTS=0 is set",)
    assert plan(slowness=slow).slowness == slow
    assert plan(slowness=slow, kept=NAMES).slowness == ()
