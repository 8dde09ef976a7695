"""Measure every raw image and let Great Expectations decide whether the data may be used."""

import pandas as pd

from unfreeze import files
from unfreeze.console import log
from unfreeze.data import expectations, manifest
from unfreeze.params import Params
from unfreeze.paths import Paths

PARAMS = ("checks",)


def images_per_class(rows: pd.DataFrame) -> pd.DataFrame:
    """Return one row a class with its number of usable images; classes without any count too."""
    counts = manifest.usable(rows)["label"].value_counts()
    labels = sorted(rows["label"].unique())
    return pd.DataFrame({"label": labels, "images": [int(counts.get(label, 0)) for label in labels]})


def run(params: Params, paths: Paths) -> None:
    """Write the manifest, then end the stage if an expectation fails."""
    index = pd.read_csv(paths.raw_index, dtype=str, keep_default_na=False)
    rows = manifest.build(index, paths.raw)
    with files.atomic(paths.manifest) as partial:
        rows.to_parquet(partial, index=False)
    expectations.gate("manifest", rows, expectations.manifest_rules(params.checks), paths)
    expectations.gate("classes", images_per_class(rows), expectations.class_rules(params.checks), paths)
    for row in rows[rows["verdict"] == "unreadable"].itertuples():
        log.warning("left out: %s (%s)", row.path, row.reason)
