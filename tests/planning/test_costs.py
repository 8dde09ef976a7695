"""What stages cost: exact where bytes are counted, and in the right order where seconds are."""

from typing import Any

import pytest
import yaml

from tests.conftest import PROJECT
from tests.planning.studies import NETWORK, SETTINGS, changed, job
from unfreeze.planning.costs import FORMULAS, SECONDS_PER_TRAINED_MAC, SECONDS_PER_TRAINED_VALUE, Cost, estimate
from unfreeze.planning.jobs import OF_BACKBONE, Job, Scale, describe_job
from unfreeze.planning.machine import Speed


def seconds(stage: str, **options: Any) -> float:
    return estimate(job(stage, **options)).work(Speed())


def test_activations_take_what_the_deepest_point_needs() -> None:
    # 1,600 images before the point two blocks down, in float16.
    assert estimate(job("extract")).disk_mb == 1600 * 50_000 * 2 / 1e6
    # Without a search the configured point is higher up.
    assert estimate(job("extract", backbone="off")).disk_mb == 1600 * 40_000 * 2 / 1e6


def test_a_full_disk_moves_the_cut_to_a_smaller_tensor_or_stores_nothing() -> None:
    moved = job("extract", free_mb=1600 * 30_000 * 2 / 1e6).training
    assert moved is not None
    assert (moved.cached.name, moved.stored) == ("early", True)
    none = job("extract", free_mb=1.0)
    assert none.training is not None and not none.training.stored
    assert estimate(none).disk_mb == 0
    assert seconds("finetune", free_mb=1.0) > 2 * seconds("finetune")


def test_frozen_layers_that_are_trained_through_take_time_in_each_epoch_and_no_room() -> None:
    def low(macs: int) -> Job:
        cuts = [cut.model_copy(update={"macs": macs}) if cut.name == "late" else cut for cut in NETWORK.cuts]
        network = NETWORK.model_copy(update={"cuts": tuple(cuts), "candidates": (8,), "point": 8})
        scale = Scale(images=2000, raw_mb=100.0, backbones=1, seeds=0)
        return describe_job("finetune", "a", SETTINGS, scale, network)

    # A byte takes 100 multiply-adds behind the cut, or nearly.
    stored, through = estimate(low(10_000_000)), estimate(low(9_999_999))
    assert through.scratch_mb == stored.scratch_mb == 0
    # 1,600 images, 4 epochs, forward alone.
    assert through.arithmetic - stored.arithmetic == pytest.approx(
        1600 * 4 / 3 * (10**7 * SECONDS_PER_TRAINED_MAC + 15e6 * SECONDS_PER_TRAINED_VALUE), rel=0.05
    )


def test_images_take_three_bytes_a_pixel() -> None:
    assert estimate(job("preprocess")).disk_mb == 2000 * 160 * 160 * 3 / 1e6


def test_images_that_stay_where_they_are_take_no_room() -> None:
    in_place = job("download", settings=changed(data={"in_place": True}))
    assert (estimate(job("download")).disk_mb, estimate(in_place).disk_mb) == (100, 1)


@pytest.mark.parametrize(
    ("stage", "change"),
    [
        ("check", {"images": 4000}),
        ("extract", {"images": 4000}),
        ("extract", {"settings": changed(augment={"views": 2})}),
        ("search", {"settings": changed(search={"max_trials": 8})}),
        ("search", {"settings": changed(search={"epochs": 2})}),
        ("finetune", {"seeds": 2}),
        ("package", {"images": 12_000}),
        ("package", {"free_mb": 1.0}),
        ("evaluate", {"settings": changed(evaluate={"corruption_images": 200})}),
    ],
)
def test_more_work_takes_longer(stage: str, change: dict[str, Any]) -> None:
    assert seconds(stage, **change) > 1.2 * seconds(stage)


def test_arithmetic_of_fewer_bits_takes_less_time_and_8_bits_only_in_the_extraction() -> None:
    of = {
        (stage, precision): estimate(
            job(stage, images=20_000, settings=changed(extract={"precision": precision}))
        ).arithmetic
        for stage in ("extract", "evaluate")
        for precision in ("float32", "bfloat16", "int8")
    }
    assert of["extract", "float32"] > of["extract", "bfloat16"] > of["extract", "int8"]
    assert of["evaluate", "int8"] == of["evaluate", "float32"] > of["evaluate", "bfloat16"]


def test_a_search_that_is_off_takes_no_time() -> None:
    assert seconds("search", backbone="off") < seconds("search") / 5


def test_a_stage_that_runs_once_a_backbone_is_planned_with_its_network() -> None:
    pipeline = yaml.safe_load((PROJECT / "dvc.yaml").read_text())["stages"]
    assert set(OF_BACKBONE) == {name for name, stage in pipeline.items() if "matrix" in stage}


def test_every_stage_has_a_cost() -> None:
    for stage in FORMULAS:
        cost = estimate(job(stage))
        assert cost.work(Speed()) > 0 and cost.peak_mb > 0, stage


def test_each_kind_of_work_follows_the_speed_that_was_probed() -> None:
    cost = Cost(python=1, arithmetic=10, decoding=100)
    assert cost.work(Speed(python=2, arithmetic=3, decoding=4)) == 2 + 30 + 400
