"""How much a stage has to do: the numbers that its time, disk and memory follow from."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from unfreeze.features import choice
from unfreeze.planning.networks import Cut, Network
from unfreeze.settings.images import Augment, Preprocess, Split
from unfreeze.settings.study import Evaluate, Serve
from unfreeze.settings.training import Extract, Phase, UnfreezePoint
from unfreeze.training.budget import Budget

# Of a training whose end is not known in advance: two cycles.
EXPECTED_EPOCHS = 12
# Stages that run once a backbone.
OF_BACKBONE = ("pretrained", "extract", "learning_curve", "search", "finetune", "package", "evaluate")


@dataclass(frozen=True)
class Scale:
    """The size of a study.

    Args:
        images: Number of images.
        raw_mb: Size of the images as they come, MB of 10^6 bytes.
        backbones: Number of backbones.
        seeds: Number of further seeds.
    """

    images: int
    raw_mb: float
    backbones: int
    seeds: int


@dataclass(frozen=True)
class Training:
    """How a backbone is trained.

    Args:
        trials: Trials of the search; 0 if it is off.
        trial_epochs: Epochs of a trial.
        head_epochs: Epochs of the head.
        epochs: Epochs of fine-tuning, as far as they can be foreseen: at most those that `study.minutes` leaves
            from the deepest point after trials from the configured one.
        batch_size: Images a step of fine-tuning.
        point: Position of the cut of the configured point.
        deepest: The cut before the deepest point.
        wanted: Where activations are to be stored: before the deepest point, or at the pixels where they do not pay.
        cached: Where they are stored, if there is room.
        stored: Whether there is room at all; if not they are computed in every epoch.
        room_mb: Room for activations that are made from the stored ones, MB of 10^6 bytes.
        cuts: Where the points lie that the search may choose from; without a search the configured one alone.
        end: The backbone's end.
    """

    trials: int
    trial_epochs: int
    head_epochs: int
    epochs: int
    batch_size: int
    point: int
    deepest: Cut
    wanted: Cut
    cached: Cut
    stored: bool
    room_mb: float
    cuts: tuple[Cut, ...]
    end: Cut

    def find_cut(self, point: UnfreezePoint) -> int:
        """Return a position, which stands for the unfreeze point behind it."""
        assert isinstance(point, int)
        return point

    def count_work(self, position: int) -> tuple[int, int]:
        """Return the multiply-adds of one image behind a cut, and the numbers that training moves there."""
        cut = next(cut for cut in self.cuts if cut.position == position)
        return self.end.macs - cut.macs, self.end.trained_values - cut.trained_values


@dataclass(frozen=True)
class Job:
    """One run of a stage.

    Args:
        stage: Name of the stage.
        scale: The study.
        size: Image side, pixels.
        train: Rows of the training fold, all stored views.
        val: Rows of the validation fold.
        test: Rows of the test fold.
        corruption_images: Test images that are corrupted, 30 times each.
        reference_images: Training images that a model in use compares with, at most.
        value_bytes: Size of a stored activation.
        precision: Arithmetic of the frozen layers.
        in_place: Whether the images are not copied.
        training: How the backbone is trained; None for a stage that runs once.
    """

    stage: str
    scale: Scale
    size: int = 0
    train: int = 0
    val: int = 0
    test: int = 0
    corruption_images: int = 0
    reference_images: int = 0
    value_bytes: int = 2
    precision: str = "float32"
    in_place: bool = False
    training: Training | None = None


def describe_job(
    stage: str,
    backbone: str | None,
    settings: Mapping[str, Any],
    scale: Scale,
    network: Network | None,
    *,
    free_mb: float = math.inf,
) -> Job:
    """Return what a stage has to do.

    Args:
        stage: Name of the stage.
        backbone: The backbone, for a stage that runs once a backbone.
        settings: Sections of params.yaml as JSON values; empty for a stage without settings.
        scale: The study.
        network: The backbone's layers; None for a stage that runs once.
        free_mb: Room on the disk for a backbone's activations, MB of 10^6 bytes.

    Raises:
        ValueError: The settings are those of another version.
    """
    if not settings:
        return Job(stage=stage, scale=scale)
    split = Split.model_validate(settings["split"])
    extract = Extract.model_validate(settings["extract"])
    train = round(scale.images * split.train) * Augment.model_validate(settings["augment"]).views
    val = round(scale.images * split.val)
    value_bytes = 2 if extract.dtype == "float16" else 4
    job = Job(
        stage=stage,
        scale=scale,
        size=Preprocess.model_validate(settings["preprocess"]).image_size,
        train=train,
        val=val,
        test=round(scale.images * split.test),
        corruption_images=Evaluate.model_validate(settings["evaluate"]).corruption_images,
        reference_images=Serve.model_validate(settings["serve"]).reference_images,
        value_bytes=value_bytes,
        precision=extract.precision,
        in_place=bool(settings["data"].get("in_place")),
    )
    if not backbone or not network:
        return job
    return replace(job, training=_describe_training(job, backbone, settings, network, extract.max_gb * 1000, free_mb))


def pay(job: Job, cut: Cut, origin: Cut) -> bool:
    """Tell whether activations at a cut are stored, rather than trained through from another one.

    Args:
        job: The work.
        cut: Where they are.
        origin: Where they are computed from.
    """
    return choice.pays(cut.macs - origin.macs, _measure_row(job, cut), _measure_row(job, origin))


def describe_choice(backbone: str, job: Job) -> str | None:
    """Return a sentence on whether activations are stored, and why; None for a backbone without frozen layers.

    Args:
        backbone: The backbone.
        job: Its extraction.
    """
    training = job.training
    assert training is not None
    cut = training.deepest
    if not cut.position:
        return None
    stored = training.wanted is cut
    return choice.explain(backbone, cut.name, cut.macs, _measure_row(job, cut), job.train + job.val, stored=stored)


def describe_deeper(backbone: str, job: Job, settings: Mapping[str, Any]) -> str | None:
    """Return a sentence on trials that follow only if the first ones show that they may pay; None if none may.

    Args:
        backbone: The backbone.
        job: Its search.
        settings: Sections of params.yaml as JSON values.
    """
    training, most = job.training, settings["search"]["deeper"]
    assert training is not None
    # From the pixels on there is nothing deeper.
    if not (training.trials and most and training.deepest.position):
        return None
    minutes = settings.get("study", {}).get("minutes")
    bound = f"within study.minutes={minutes:g}" if minutes else "without a limit of time: study.minutes sets one"
    return (
        f"{backbone}: not among these minutes are up to {most} trials from deeper layers and fine-tuning from there, "
        f"which follow where the deepest point of the others is the best or their result is poor, {bound}"
    )


def measure_rows(job: Job, cut: Cut) -> float:
    """Return the size of the activations of both folds at a cut, MB of 10^6 bytes."""
    return (job.train + job.val) * _measure_row(job, cut) / 1e6


def _measure_row(job: Job, cut: Cut) -> int:
    # Pixels are bytes.
    return cut.row_values * (job.value_bytes if cut.position else 1)


def _describe_training(
    job: Job, backbone: str, settings: Mapping[str, Any], network: Network, most_mb: float, free_mb: float
) -> Training:
    """Return how a backbone is trained, if so many MB of activations may be stored and so many are free."""
    head, tuned = (
        Phase.model_validate(_of_backbone(settings["train"][name], backbone)) for name in ("head", "finetune")
    )
    search = settings["search"]
    enabled = search["enabled"].get(backbone, search["enabled"]["default"])
    positions = {network.point, *(network.candidates if enabled else ())}
    deepest = network.at(min(positions))
    # As the stage: where activations do not pay, training begins at the pixels.
    wanted = deepest if pay(job, deepest, network.cuts[0]) else network.cuts[0]
    # As `choose_plan` in features/extraction.py: the last cut that fits; if none does, the wanted one unstored.
    before = [cut for cut in network.cuts if 0 < cut.position <= wanted.position or cut is wanted]
    fitting = [cut for cut in before if measure_rows(job, cut) <= min(most_mb, free_mb)]
    training = Training(
        trials=search["max_trials"] if enabled else 0,
        trial_epochs=search["epochs"],
        head_epochs=head.epochs,
        epochs=_expect_epochs(tuned),
        batch_size=tuned.batch_size,
        point=network.point,
        deepest=deepest,
        wanted=wanted,
        cached=fitting[-1] if fitting else wanted,
        stored=bool(fitting),
        # A search has a limit of its own.
        room_mb=min(search["max_gb"] * 1000 if job.stage == "search" else most_mb, free_mb),
        cuts=tuple(network.at(position) for position in sorted(positions)),
        end=network.end,
    )
    budget = Budget(settings.get("study", {}).get("minutes"), job.train, job.val, tuned.batch_size)
    trials = [(network.point, training.trial_epochs)] * training.trials
    # The forecast of fine-tuning is that of the point from which it takes longest.
    epochs = budget.count_epochs(training, trials, deepest.position, training.epochs, trainings=1 + job.scale.seeds)
    # The search ends before its trials leave no epoch.
    return replace(training, epochs=max(epochs, min(training.epochs, 1)))


def _expect_epochs(phase: Phase) -> int:
    """Return how many epochs a phase is expected to take: most trainings with restarts end after the second cycle."""
    if phase.schedule != "restarts" or phase.patience is None:
        return phase.epochs
    return min(phase.epochs, EXPECTED_EPOCHS)


def _of_backbone(values: Mapping[str, Any], backbone: str) -> dict[str, Any]:
    """Return a group of settings with the backbone's exceptions."""
    return {**values["default"], **values.get(backbone, {})}
