"""The folds of a study: which images, under which labels, and digests by which equal folds are known."""

import json
from typing import Any

import pandas as pd

from unfreeze import files
from unfreeze.checks.corrections import GIVEN
from unfreeze.paths import Paths
from unfreeze.runtime.redaction import redact
from unfreeze.settings.base import CALIBRATION, FOLDS
from unfreeze.settings.params import Params

# MLflow takes no longer digest of a data set than 36 letters.
LETTERS = 32
CONTEXT = "mlflow.data.context"


def read_folds_table(paths: Paths) -> pd.DataFrame:
    """Return `sha256`, `label` and `fold` of each image that is in a fold, one row a file, in a fixed order.

    Where a label was corrected, there also is `label_given`, the source's, empty for all other images.
    """
    manifest = pd.read_parquet(paths.manifest)
    columns = ["sha256", "label", *([GIVEN] if GIVEN in manifest else [])]
    table = manifest[["path", *columns]].merge(files.read_csv(paths.split), left_on="path", right_on="id")
    return table.sort_values("path")[[*columns, "fold"]].reset_index(drop=True)


def hash_folds(table: pd.DataFrame) -> dict[str, str]:
    """Return a digest of each fold's images and labels, by the fold's name; a calibration fold is not always there.

    Args:
        table: From `read_folds_table`.
    """
    return {
        fold: files.digest(sorted(table.loc[table["fold"] == fold, ["sha256", "label"]].values.tolist()))[:LETTERS]
        for fold in (*FOLDS, CALIBRATION)
        if fold in FOLDS or (table["fold"] == fold).any()
    }


def list_inputs(params: Params, table: pd.DataFrame) -> list[Any]:
    """Return the folds as MLflow's inputs of a run.

    Args:
        params: Needs `data`.
        table: From `read_folds_table`.
    """
    from mlflow.entities import Dataset, DatasetInput, InputTag

    source = redact(json.dumps(params.data.model_dump(mode="json", exclude_none=True)))
    found = []
    for fold, digest in hash_folds(table).items():
        counts = table.loc[table["fold"] == fold, "label"].value_counts().sort_index()
        profile = json.dumps({"images": int(counts.sum()), "classes": counts.to_dict()})
        dataset = Dataset(params.data.name, digest, params.data.kind, source, profile=profile)
        found.append(DatasetInput(dataset, [InputTag(CONTEXT, fold)]))
    return found
