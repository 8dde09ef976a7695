"""Train a backbone's head, then unfreeze and fine-tune, and save the model that takes pixels."""

import math
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from unfreeze import files
from unfreeze.errors import UnfreezeError
from unfreeze.evaluation import calibration
from unfreeze.paths import Paths
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


def choose_settings(settings: Settings, backbone: str, best: Trial | None) -> tuple[UnfreezePoint, Phase]:
    """Return unfreeze point and settings: the search's winner, or what is configured if it was off.

    Args:
        settings: The stage's.
        backbone: The backbone.
        best: What the search found; None if it was off.
    """
    phase = settings.train.finetune.get(backbone)
    if best is None:
        return settings.point.get(backbone), phase
    return best.unfreeze_point, phase.model_copy(update=best.settings)


def train(
    settings: Settings, paths: Paths, backbone: str, point: UnfreezePoint, phase: Phase, model: Path
) -> tuple[Any, dict[str, Any]]:
    """Train both phases and save the model.

    Returns:
        The epochs, one row each, and what is to be recorded of the training.

    Raises:
        UnfreezeError: Training diverged, or had no epoch.
    """
    from unfreeze.training import keras_file
    from unfreeze.training.transfer import Transfer

    begun = time.monotonic()
    with Transfer.prepare(settings, paths, backbone) as transfer:
        results = [transfer.train_head(settings.train.head.get(backbone)), transfer.fine_tune(point, phase)]
        seconds = time.monotonic() - begun
        val_loss = next((result.val_loss for result in reversed(results) if result.val_loss is not None), None)
        if val_loss is None or not math.isfinite(val_loss):
            raise UnfreezeError(
                f"{backbone}: training ended with validation loss {val_loss}: lower train.finetune.learning_rate, "
                "or give train.head or train.finetune an epoch"
            )
        probabilities = transfer.predict_validation().astype("float64")
        temperature = calibration.fit_temperature(transfer.features.plan.val.labels, probabilities)
    keras_file.save(transfer.backbone.build_classifier(transfer.head), model)
    epochs = history.join_phases([result.history for result in results])
    return epochs, {
        "unfreeze_from": transfer.backbone.name_point(point),
        "learning_rate": phase.learning_rate,
        "trainable_parameters": results[-1].trainable_parameters,
        "head_parameters": int(transfer.head.count_params()),
        "fine_tuning_improved": results[-1].improved,
        "epochs": len(epochs),
        "val_loss": val_loss,
        "temperature": temperature,
        "seconds": seconds,
    }


def run(settings: Settings, paths: Paths, backbone: str, tracker: Tracker) -> None:
    """Train from the search's winner or from what is configured, and once more with each further seed."""
    tracker.prepare()
    console.import_tensorflow()
    from unfreeze.training import memory

    best = SearchResult.read(paths.search(backbone)).best
    point, phase = choose_settings(settings, backbone, best)
    with tracker.measure_machine(paths.system_metrics(backbone)):
        epochs, record = train(settings, paths, backbone, point, phase, paths.model(backbone))
    files.write_json(paths.training_time(backbone), {"seconds": record.pop("seconds")})
    files.write_csv(paths.history(backbone), epochs)
    with files.atomic(paths.repeats(backbone)) as folder:
        folder.mkdir()
        for seed in settings.seeds:
            memory.free()
            console.log.info("%s: once more, with seed %d", backbone, seed)
            reseeded = replace(settings, seed=seed)
            train(reseeded, paths, backbone, point, phase, folder / paths.repeat(backbone, seed).name)
        # DVC warns of an empty folder.
        files.write_json(folder / "seeds.json", list(settings.seeds))
    record["chosen_by"] = "search" if best else "params"
    record["model_sha256"] = files.hash_file(paths.model(backbone))
    files.write_json(paths.training(backbone), record)
    console.log.info(
        "%s: trained from %s, validation loss %.4f", backbone, record["unfreeze_from"], record["val_loss"]
    )
    tracker.log_training(backbone)
