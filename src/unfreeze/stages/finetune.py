"""Train a backbone's head, then unfreeze and fine-tune, and save the model that takes pixels."""

import math
import time
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from unfreeze import files
from unfreeze.errors import UnfreezeError
from unfreeze.evaluation import calibration
from unfreeze.paths import Paths
from unfreeze.records.training import ChosenBy, Training
from unfreeze.records.trial import SearchResult, Trial
from unfreeze.runtime import console
from unfreeze.settings.base import ByBackbone, PixelScaling
from unfreeze.settings.stage_settings import declare_param
from unfreeze.settings.training import Head, Phase, Train, UnfreezePoint
from unfreeze.stages.tracker import Tracker
from unfreeze.training import history


@dataclass(frozen=True)
class Settings:
    """What the stage uses of params.yaml."""

    seed: int
    pixels: PixelScaling
    head: Head
    train: Train
    point: ByBackbone[UnfreezePoint] = declare_param("unfreeze.point")
    seeds: tuple[int, ...] = declare_param("study.seeds")


@dataclass(frozen=True)
class Choice:
    """How a backbone is fine-tuned, and what that comes from."""

    point: UnfreezePoint
    phase: Phase
    by: ChosenBy


def choose_settings(settings: Settings, backbone: str, best: Trial | None) -> Choice:
    """Return unfreeze point and settings: the search's winner, or what is configured if it was off.

    Args:
        settings: The stage's.
        backbone: The backbone.
        best: What the search found; None if it was off.
    """
    phase = settings.train.finetune.get(backbone)
    if best is None:
        return Choice(settings.point.get(backbone), phase, "params")
    return Choice(best.unfreeze_point, phase.model_copy(update=best.settings), "search")


def train(
    settings: Settings, paths: Paths, backbone: str, choice: Choice, model: Path
) -> tuple[pd.DataFrame, Training, float]:
    """Train both phases and save the model.

    Returns:
        The epochs, one row each, what is to be recorded of the training, and the seconds that it took.

    Raises:
        UnfreezeError: Training diverged, or had no epoch.
    """
    from unfreeze.training import heads, keras_file
    from unfreeze.training.transfer import Transfer

    begun = time.monotonic()
    with Transfer.prepare(settings, paths, backbone) as transfer:
        results = [
            transfer.train_head(settings.train.head.get(backbone)),
            transfer.fine_tune(choice.point, choice.phase),
        ]
        seconds = time.monotonic() - begun
        val_loss = next((result.val_loss for result in reversed(results) if result.val_loss is not None), None)
        if val_loss is None or not math.isfinite(val_loss):
            raise UnfreezeError(
                f"{backbone}: training ended with validation loss {val_loss}: lower train.finetune.learning_rate, "
                "or give train.head or train.finetune an epoch"
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


def run(settings: Settings, paths: Paths, backbone: str, tracker: Tracker) -> None:
    """Train from the search's winner or from what is configured, and once more with each further seed."""
    tracker.prepare()
    console.import_tensorflow()
    from unfreeze.training import memory

    best = SearchResult.read(paths.search(backbone)).best
    choice = choose_settings(settings, backbone, best)
    with tracker.measure_machine(paths.system_metrics(backbone)):
        epochs, record, seconds = train(settings, paths, backbone, choice, paths.model(backbone))
    files.write_json(paths.training_time(backbone), {"seconds": seconds})
    files.write_csv(paths.history(backbone), epochs)
    with files.atomic(paths.repeats(backbone)) as folder:
        folder.mkdir()
        for seed in settings.seeds:
            memory.free()
            console.log.info("%s: once more, with seed %d", backbone, seed)
            reseeded = replace(settings, seed=seed)
            train(reseeded, paths, backbone, choice, folder / paths.repeat(backbone, seed).name)
        # DVC warns of an empty folder.
        files.write_json(folder / "seeds.json", list(settings.seeds))
    record.write(paths.training(backbone))
    console.log.info("%s: trained from %s, validation loss %.4f", backbone, record.unfreeze_from, record.val_loss)
    tracker.log_training(backbone)
