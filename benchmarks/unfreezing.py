"""What unfreezing is worth: one backbone fine-tuned from several points; one JSON line.

    python -m benchmarks.unfreezing CLONE BACKBONE EPOCHS POINT ...

The clone has features that were cut for these points. Points are written as in params.yaml; what is the same point
twice is trained once.
"""

import json
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import yaml
from pydantic import TypeAdapter

from unfreeze.paths import Paths
from unfreeze.runtime import console
from unfreeze.search.planned import Planned
from unfreeze.search.trials import Trials
from unfreeze.settings.params import load
from unfreeze.settings.training import UnfreezePoint
from unfreeze.training.transfer import Transfer


def main(folder: str, name: str, epochs: str, *points: str) -> list[dict[str, Any]]:
    """Fine-tune from every point, each time from the same head, at the rate of `train.finetune`.

    Returns:
        Of each point, from the top of the backbone down: its name, trainable parameters, validation loss and accuracy
        after the last epoch, and seconds.
    """
    paths = Paths(Path(folder))
    params = load(paths.params)
    phase = params.train.finetune.get(name).model_copy(update={"epochs": int(epochs), "patience": None})
    asked = tuple(TypeAdapter(UnfreezePoint).validate_python(yaml.safe_load(point)) for point in points)
    with Transfer.prepare(params, paths, name) as transfer:
        transfer.train_head(params.train.head.get(name))
        candidates = transfer.backbone.list_candidates(asked)
        trials = Trials(
            transfer,
            transfer.head,
            phase,
            candidates,
            paths.search_folder(name),
            report=lambda trial: console.log.info("%s: %d epochs", trial.unfreeze_from, len(trial.epochs)),
            keep_states=False,
        )
        ended = [trials.run(Planned(number, point, {})) for number, point in enumerate(candidates)]
    columns = ["unfreeze_from", "trainable_parameters", "val_loss", "val_accuracy", "seconds"]
    return pd.DataFrame(map(dict, ended))[columns].to_dict("records")


if __name__ == "__main__":
    console.configure_logging()
    console.import_tensorflow()
    sys.stdout.write(json.dumps(main(*sys.argv[1:])) + "\n")
