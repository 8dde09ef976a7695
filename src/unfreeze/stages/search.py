"""Search the unfreeze point and the learning rate with KerasTuner, on cached activations."""

import math
import tempfile
from typing import Any

import pandas as pd

from unfreeze import console, files, tracking
from unfreeze.params import Params
from unfreeze.paths import Paths

PARAMS = ("seed", "head", "train", "unfreeze", "search", "tracking")

# The score of a trial whose loss is no number.
DIVERGED = 1e9
COLUMNS = [
    "trial",
    "unfreeze_from",
    "unfreeze_point",
    "learning_rate",
    "val_loss",
    "val_accuracy",
    "trainable_parameters",
]


def best_trial(trials: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the trial with the lowest validation loss; a tie goes to fewer trainable parameters."""
    return min(trials, key=lambda trial: (trial["val_loss"], trial["trainable_parameters"], trial["trial"]))


def run(params: Params, paths: Paths, backbone: str) -> None:
    """Try combinations of point and rate, and write the table of trials and the best."""
    trials: list[dict[str, Any]] = []
    if params.search.enabled.of(backbone):
        console.import_tensorflow()
        from unfreeze.models.training import Transfer

        with Transfer.prepared(params, paths, backbone) as transfer:
            trials = _search(params, transfer, backbone)
    best = best_trial(trials) if trials else None
    files.write_json(paths.search(backbone), {"best": best, "trials": trials})
    files.write_csv(paths.trials(backbone), pd.DataFrame(trials, columns=COLUMNS))
    if best is None:
        console.log.info("%s: the search is off", backbone)
        return
    console.log.info(
        "%s: best of %d trials: from %s at %.2g, validation loss %.4f",
        backbone, len(trials), best["unfreeze_from"], best["learning_rate"], best["val_loss"],
    )  # fmt: skip
    tracking.Ledger(paths, params.tracking.experiment).log_search(backbone)


def _search(params: Params, transfer: Any, backbone: str) -> list[dict[str, Any]]:
    import keras_tuner

    transfer.train_head(params.train.head.of(backbone))
    head = transfer.head
    points = transfer.backbone.candidates(params.unfreeze.candidates.of(backbone))
    rates = params.search.learning_rate.of(backbone)
    # A trial is judged by where it ends, not by its luckiest epoch, so each runs to the end.
    phase = params.train.finetune.of(backbone).model_copy(update={"epochs": params.search.epochs, "patience": None})
    table: list[dict[str, Any]] = []

    class Space(keras_tuner.HyperModel):
        def build(self, hp: Any) -> None:
            hp.Choice("unfreeze_from", list(points), ordered=False)
            hp.Float("learning_rate", rates.min, rates.max, sampling="log")

    class TransferTuner(keras_tuner.engine.base_tuner.BaseTuner):
        def run_trial(self, trial: Any, **_: Any) -> dict[str, float]:
            values = trial.hyperparameters.values
            transfer.restore(head)
            result = transfer.fine_tune(
                points[values["unfreeze_from"]],
                phase.model_copy(update={"learning_rate": values["learning_rate"]}),
                label=f"trial {len(table) + 1} of {params.search.max_trials}",
            )
            last = result.history.iloc[-1]
            # A trial that diverged is kept with the worst score there is, in a form JSON and the oracle take.
            val_loss = float(last["val_loss"]) if math.isfinite(last["val_loss"]) else DIVERGED
            table.append(
                {
                    "trial": len(table) + 1,
                    "unfreeze_from": values["unfreeze_from"],
                    "unfreeze_point": points[values["unfreeze_from"]],
                    "learning_rate": values["learning_rate"],
                    "val_loss": val_loss,
                    "val_accuracy": float(last["val_accuracy"]),
                    "trainable_parameters": result.trainable_parameters,
                }
            )
            return {"val_loss": val_loss}

    with tempfile.TemporaryDirectory(prefix="unfreeze-") as folder:
        objective = keras_tuner.Objective("val_loss", "min")
        oracle = keras_tuner.oracles.RandomSearchOracle(
            objective=objective, max_trials=params.search.max_trials, seed=params.seed
        )
        TransferTuner(oracle, Space(), directory=folder, project_name=backbone).search(verbose=0)
    return table
