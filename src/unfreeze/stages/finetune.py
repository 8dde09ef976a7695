"""Train a backbone's head, then unfreeze and fine-tune, and save the model that takes pixels."""

import math
import os
import platform
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
from pydantic import TypeAdapter

from unfreeze import files
from unfreeze.cluster.shards import Cluster, find_code_digest
from unfreeze.cluster.tasks import Job
from unfreeze.errors import UnfreezeError
from unfreeze.evaluation import calibration
from unfreeze.features import cache, derived
from unfreeze.paths import Paths
from unfreeze.records.training import ChosenBy, Training
from unfreeze.records.trial import SearchResult, list_trained
from unfreeze.runtime import console
from unfreeze.runtime.processors import count_processors
from unfreeze.settings.base import ByBackbone, PixelScaling
from unfreeze.settings.stage_settings import declare_param
from unfreeze.settings.training import Head, Phase, Train, UnfreezePoint
from unfreeze.stages.tracker import Tracker
from unfreeze.training import history

if TYPE_CHECKING:
    from unfreeze.training.transfer import Transfer


@dataclass(frozen=True)
class Settings:
    """What the stage uses of params.yaml."""

    seed: int
    pixels: PixelScaling
    head: Head
    train: Train
    point: ByBackbone[UnfreezePoint] = declare_param("unfreeze.point")
    seeds: tuple[int, ...] = declare_param("study.seeds")
    minutes: float | None = declare_param("study.minutes")


@dataclass(frozen=True)
class Choice:
    """How a backbone is fine-tuned, and what that comes from.

    Args:
        point: Where training begins.
        phase: How it is trained.
        by: What both come from.
        tried: Unfreeze point and number of epochs of each trial of the search.
    """

    point: UnfreezePoint
    phase: Phase
    by: ChosenBy
    tried: tuple[tuple[UnfreezePoint, int], ...] = ()


def choose_settings(settings: Settings, backbone: str, found: SearchResult) -> Choice:
    """Return unfreeze point and settings: the search's winner, or what is configured if it was off.

    Args:
        settings: The stage's.
        backbone: The backbone.
        found: What the search found.
    """
    best = found.best
    phase = settings.train.finetune.get(backbone)
    if best is None:
        return Choice(settings.point.get(backbone), phase, "params")
    phase = phase.model_copy(update=best.settings)
    return Choice(best.unfreeze_point, phase, "search", tuple(list_trained(found.trials)))


def train(
    settings: Settings, paths: Paths, backbone: str, choice: Choice, model: Path, *, worker: str = ""
) -> tuple[pd.DataFrame, Training, float]:
    """Train both phases and save the model.

    Args:
        settings: The stage's.
        paths: Where files lie.
        backbone: The backbone.
        choice: How it is fine-tuned.
        model: Where it is saved.
        worker: Tells processes apart that train the backbone at the same time.

    Returns:
        The epochs, one row each, what is to be recorded of the training, and the seconds that it took.

    Raises:
        UnfreezeError: Training diverged, or had no epoch.
    """
    from unfreeze.models import keras_file
    from unfreeze.training import heads
    from unfreeze.training.transfer import Transfer

    begun = time.monotonic()
    with Transfer.prepare(settings, paths, backbone, worker=worker) as transfer:
        phase = _fit_budget(settings, backbone, choice, transfer)
        results = [
            transfer.train_head(settings.train.head.get(backbone)),
            transfer.fine_tune(choice.point, phase),
        ]
        seconds = time.monotonic() - begun
        val_loss = next((result.val_loss for result in reversed(results) if result.val_loss is not None), None)
        if val_loss is None or not math.isfinite(val_loss):
            raise UnfreezeError(
                f"{backbone}: training ended with validation loss {val_loss}: lower train.finetune.learning_rate and "
                "search.learning_rate, or give train.head or train.finetune an epoch"
            )
        probabilities = transfer.predict_validation().astype("float64")
        temperature = calibration.fit_temperature(transfer.features.plan.val.labels, probabilities)
    heads.apply_temperature(transfer.head, temperature)
    keras_file.save(transfer.backbone.build_classifier(transfer.head), model)
    epochs = history.join_phases([result.history for result in results])
    record = Training(
        chosen_by=choice.by,
        unfreeze_from=transfer.backbone.name_point(choice.point),
        learning_rate=choice.phase.learning_rate,
        epochs=len(epochs),
        fine_tuning_improved=results[-1].improved,
        trainable_parameters=results[-1].trainable_parameters,
        head_parameters=int(transfer.head.count_params()),
        val_loss=val_loss,
        temperature=temperature,
        model_sha256=files.hash_file(model),
    )
    return epochs, record, seconds


def _fit_budget(settings: Settings, backbone: str, choice: Choice, transfer: "Transfer") -> Phase:
    """Return the phase with the epochs that study.minutes leaves."""
    phase = choice.phase
    budget = transfer.make_budget(settings.minutes, phase)
    epochs = budget.limit_epochs(
        transfer.backbone, choice.tried, choice.point, phase.epochs, trainings=1 + len(settings.seeds)
    )
    if epochs < phase.epochs:
        console.log.info("%s: study.minutes leaves %d of %d epochs", backbone, epochs, phase.epochs)
    return phase.model_copy(update={"epochs": epochs})


@dataclass(frozen=True)
class Repeat:
    """A training with another seed.

    Args:
        seed: The seed.
        model: Where the model is saved.
    """

    seed: int
    model: Path

    @property
    def id(self) -> str:
        """Names it among those of its backbone."""
        return str(self.seed)


def train_repeats(settings: Settings, paths: Paths, backbone: str, choice: Choice, cluster: Cluster) -> None:
    """Train once more with each further seed, at the same time in processes of this machine or of others.

    A model that is finished is kept, and not trained again where the stage ended before the last of them.
    """
    # As plain values: types like `ByBackbone[float]` cannot be pickled.
    values = TypeAdapter(Settings).dump_python(settings, mode="json")
    kept = paths.finished_repeats(backbone)
    tasks = []
    if settings.seeds:
        determined_by = {
            **describe_training(values, choice),
            "features": cache.read(paths.features(backbone), {}).plan.determined_by,
            "threads": cluster.threads,
            "code": find_code_digest(paths, "finetune"),
        }
        tasks = [Repeat(seed, kept / f"{files.digest([determined_by, seed])}.keras") for seed in settings.seeds]
    left = [task for task in tasks if not task.model.exists()]
    load = partial(load_training, values, paths, backbone, choice)
    if left:
        kept.mkdir(parents=True, exist_ok=True)
        # Left by processes that were killed.
        derived.remove(paths, backbone)
        with cluster.open_tasks(Job(f"finetune@{backbone}", "seeds", load, describe_repeat)) as run_tasks:
            for _ in run_tasks(left):
                pass
    with files.atomic(paths.repeats(backbone)) as folder:
        folder.mkdir()
        for task in tasks:
            shutil.copy(task.model, folder / paths.repeat(backbone, task.seed).name)
        # DVC warns of an empty folder.
        files.write_json(folder / "seeds.json", list(settings.seeds))
    files.remove(kept)


def describe_training(values: dict[str, Any], choice: Choice) -> dict[str, Any]:
    """Return what a training with a further seed depends on, but for that seed.

    Args:
        values: The stage's settings as JSON holds them.
        choice: How the backbone is fine-tuned.
    """
    # study.minutes is shared among the seeds: their number tells how many epochs each has.
    alike = {"seed": None, "seeds": None if values["minutes"] is None else len(values["seeds"])}
    return {
        "settings": {**values, **alike},
        "choice": TypeAdapter(Choice).dump_python(choice, mode="json"),
    }


def describe_repeat(task: Repeat) -> str:
    """Return for people which training it is."""
    return f"seed {task.seed}"


@contextmanager
def load_training(
    values: dict[str, Any], paths: Paths, backbone: str, choice: Choice
) -> Iterator[Callable[[Repeat], None]]:
    """Yield what trains with another seed in a process of its own, perhaps on another machine.

    Args:
        values: The stage's settings as JSON holds them.
        paths: The checkout, which all machines see.
        backbone: The backbone.
        choice: How it is fine-tuned.
    """
    console.import_tensorflow()
    import keras

    from unfreeze.training import memory
    from unfreeze.training.transfer import limit_threads

    settings = TypeAdapter(Settings).validate_python(values)
    limit_threads(count_processors())

    def train_again(task: Repeat) -> None:
        memory.free()
        # The names of layers, which are in the file, would tell what the process trained before.
        keras.utils.clear_session()
        mine = f"{platform.node()}-{os.getpid()}"
        train(replace(settings, seed=task.seed), paths, backbone, choice, task.model, worker=mine)

    yield train_again


def run(settings: Settings, paths: Paths, backbone: str, tracker: Tracker, cluster: Cluster) -> None:
    """Train from the search's winner or from what is configured, and once more with each further seed."""
    tracker.prepare()
    console.import_tensorflow()
    choice = choose_settings(settings, backbone, SearchResult.read(paths.search(backbone)))
    with tracker.measure_machine(paths.system_metrics(backbone)):
        epochs, record, seconds = train(settings, paths, backbone, choice, paths.model(backbone))
    files.write_json(paths.training_time(backbone), {"seconds": seconds})
    files.write_csv(paths.history(backbone), epochs)
    train_repeats(settings, paths, backbone, choice, cluster)
    record.write(paths.training(backbone))
    console.log.info("%s: trained from %s, validation loss %.4f", backbone, record.unfreeze_from, record.val_loss)
    tracker.log_training(backbone)
