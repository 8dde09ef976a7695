"""Train a backbone's head, then unfreeze and fine-tune, and save the model that takes pixels."""

import math
from typing import Any

from unfreeze import console, files, history, plots, tracking
from unfreeze.errors import UnfreezeError
from unfreeze.params import Params
from unfreeze.paths import Paths

PARAMS = ("seed", "head", "train", "unfreeze.point", "tracking")


def run(params: Params, paths: Paths, backbone: str) -> None:
    """Train both phases from the search's winner, or from the configured point and rate if it was off."""
    console.import_tensorflow()
    from unfreeze.models import archive
    from unfreeze.models.training import Transfer

    best: dict[str, Any] | None = files.read_json(paths.search(backbone))["best"]
    point = best["unfreeze_point"] if best else params.unfreeze.point.of(backbone)
    phase = params.train.finetune.of(backbone)
    if best:
        phase = phase.model_copy(update=best["settings"])
    with Transfer.prepared(params, paths, backbone) as transfer:
        results = [transfer.train_head(params.train.head.of(backbone)), transfer.fine_tune(point, phase)]
    val_loss = next((result.val_loss for result in reversed(results) if result.val_loss is not None), None)
    if val_loss is None or not math.isfinite(val_loss):
        raise UnfreezeError(
            f"{backbone}: training ended with validation loss {val_loss}: lower train.finetune.learning_rate, "
            "or give train.head or train.finetune an epoch"
        )
    epochs = history.joined([result.history for result in results])

    archive.save(transfer.backbone.classifier(transfer.head), paths.model(backbone))
    files.write_csv(paths.history(backbone), epochs)
    plots.training_curves({backbone: epochs}, paths.history_picture(backbone))
    record = {
        "unfreeze_from": transfer.backbone.point_name(point),
        "learning_rate": phase.learning_rate,
        "chosen_by": "search" if best else "params",
        "trainable_parameters": results[-1].trainable_parameters,
        "head_parameters": int(transfer.head.count_params()),
        "fine_tuning_improved": results[-1].improved,
        "epochs": len(epochs),
        "val_loss": val_loss,
        "model_sha256": files.sha256(paths.model(backbone)),
    }
    files.write_json(paths.training(backbone), record)
    console.log.info(
        "%s: trained from %s, validation loss %.4f", backbone, record["unfreeze_from"], record["val_loss"]
    )
    tracking.Ledger(paths, params.tracking.experiment).log_training(backbone)
