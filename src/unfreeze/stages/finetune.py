"""Train a backbone's head, then unfreeze and fine-tune, and save the model that takes pixels."""

import math
import time
from concurrent.futures import BrokenExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

from unfreeze import files
from unfreeze.errors import UnfreezeError
from unfreeze.evaluation import calibration
from unfreeze.figures.training import training_curves
from unfreeze.paths import Paths
from unfreeze.runtime import console
from unfreeze.runtime.background import beside
from unfreeze.settings.params import Params
from unfreeze.settings.training import Phase, UnfreezePoint
from unfreeze.tracking import models, server, system_metrics
from unfreeze.tracking.ledger import Ledger
from unfreeze.training import history

PARAMS = ("seed", "pixels", "head", "train", "unfreeze.point", "study.seeds", "tracking")


def chosen(params: Params, backbone: str, best: dict[str, Any] | None) -> tuple[UnfreezePoint, Phase]:
    """Return unfreeze point and settings: the search's winner, or what is configured if it was off.

    Args:
        params: Needs `train` and `unfreeze.point`.
        backbone: The backbone.
        best: What the search found; None if it was off.
    """
    phase = params.train.finetune.of(backbone)
    if best is None:
        return params.unfreeze.point.of(backbone), phase
    return best["unfreeze_point"], phase.model_copy(update=best["settings"])


def train(
    params: Params, paths: Paths, backbone: str, point: UnfreezePoint, phase: Phase, model: Path
) -> tuple[Any, dict[str, Any]]:
    """Train both phases and save the model.

    Returns:
        The epochs, one row each, and what is to be recorded of the training.

    Raises:
        UnfreezeError: Training diverged, or had no epoch.
    """
    from unfreeze.training import keras_file
    from unfreeze.training.transfer import Transfer, TransferSettings

    begun = time.monotonic()
    settings = TransferSettings(params.seed, params.pixels, params.head, params.train)
    with Transfer.prepared(settings, paths, backbone) as transfer:
        results = [transfer.train_head(params.train.head.of(backbone)), transfer.fine_tune(point, phase)]
        seconds = time.monotonic() - begun
        val_loss = next((result.val_loss for result in reversed(results) if result.val_loss is not None), None)
        if val_loss is None or not math.isfinite(val_loss):
            raise UnfreezeError(
                f"{backbone}: training ended with validation loss {val_loss}: lower train.finetune.learning_rate, "
                "or give train.head or train.finetune an epoch"
            )
        probabilities = transfer.validate().astype("float64")
        temperature = calibration.fit_temperature(transfer.features.plan.val.labels, probabilities)
    keras_file.save(transfer.backbone.classifier(transfer.head), model)
    epochs = history.joined([result.history for result in results])
    return epochs, {
        "unfreeze_from": transfer.backbone.point_name(point),
        "learning_rate": phase.learning_rate,
        "trainable_parameters": results[-1].trainable_parameters,
        "head_parameters": int(transfer.head.count_params()),
        "fine_tuning_improved": results[-1].improved,
        "epochs": len(epochs),
        "val_loss": val_loss,
        "temperature": temperature,
        "seconds": seconds,
    }


def run(params: Params, paths: Paths, backbone: str) -> None:
    """Train from the search's winner or from what is configured, and once more with each further seed."""
    ledger = Ledger(paths, params.tracking.experiment)
    with beside(server.load_library, models.load_library, ledger.prepare) as process:
        console.import_tensorflow()
        from unfreeze.training import memory

        best: dict[str, Any] | None = files.read_json(paths.search(backbone))["best"]
        point, phase = chosen(params, backbone, best)
        with system_metrics.sampled(paths.system_metrics(backbone)):
            epochs, record = train(params, paths, backbone, point, phase, paths.model(backbone))
        files.write_json(paths.training_time(backbone), {"seconds": record.pop("seconds")})
        files.write_csv(paths.history(backbone), epochs)
        training_curves({backbone: epochs}, paths.history_picture(backbone))
        with files.atomic(paths.repeats(backbone)) as folder:
            folder.mkdir()
            for seed in params.study.seeds:
                memory.free()
                console.log.info("%s: once more, with seed %d", backbone, seed)
                reseeded = params.model_copy(update={"seed": seed})
                train(reseeded, paths, backbone, point, phase, folder / paths.repeat(backbone, seed).name)
            # DVC warns of an empty folder.
            files.write_json(folder / "seeds.json", list(params.study.seeds))
        record["chosen_by"] = "search" if best else "params"
        record["model_sha256"] = files.sha256(paths.model(backbone))
        files.write_json(paths.training(backbone), record)
        console.log.info(
            "%s: trained from %s, validation loss %.4f", backbone, record["unfreeze_from"], record["val_loss"]
        )
        # Results are worth more than their log; `evaluate` logs what is missing.
        with suppress(BrokenExecutor):
            process.submit(ledger.log_training, backbone).result()
