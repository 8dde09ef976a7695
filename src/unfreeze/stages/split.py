"""Put every usable image into one of three folds, copies of one image into the same."""

import pandas as pd
from sklearn.model_selection import train_test_split

from unfreeze import files
from unfreeze.console import log
from unfreeze.data import manifest
from unfreeze.errors import UnfreezeError
from unfreeze.params import Params, Split
from unfreeze.paths import Paths

PARAMS = ("seed", "split")


def assign_folds(rows: pd.DataFrame, shares: Split, seed: int) -> pd.DataFrame:
    """Split clusters of identical images, stratified by label.

    Args:
        rows: Usable images: path, label and cluster. A cluster has one label.
        shares: Shares of the folds.
        seed: Seed of the draw.

    Returns:
        One row an image: `id` and `fold` (train, val or test), sorted by id.

    Raises:
        UnfreezeError: A class has too few images for three folds.
    """
    clusters = rows.drop_duplicates("cluster").sort_values("path")
    smallest = clusters["label"].value_counts().iloc[[-1]]
    too_few = UnfreezeError(
        f"class {smallest.index[0]!r} has {smallest.iloc[0]} different images, too few for three folds: "
        "add images or merge classes"
    )
    try:
        rest, test = train_test_split(clusters, test_size=shares.test, stratify=clusters["label"], random_state=seed)
        train, val = train_test_split(
            rest, test_size=shares.val / (shares.train + shares.val), stratify=rest["label"], random_state=seed
        )
    except ValueError as error:
        raise too_few from error
    if any(fold["label"].nunique() < clusters["label"].nunique() for fold in (train, val, test)):
        raise too_few
    fold = pd.Series("train", index=clusters["cluster"])
    fold[val["cluster"]] = "val"
    fold[test["cluster"]] = "test"
    folds = pd.DataFrame({"id": rows["path"], "fold": rows["cluster"].map(fold)})
    return folds.sort_values("id", ignore_index=True)


def describe_folds(folds: pd.DataFrame, rows: pd.DataFrame) -> pd.DataFrame:
    """Return the split with what the gate looks at: folds of each cluster, classes of each fold, in test or not."""
    table = folds.merge(rows, left_on="id", right_on="path")
    table["folds_of_cluster"] = table.groupby("cluster")["fold"].transform("nunique")
    table["classes_of_fold"] = table.groupby("fold")["label"].transform("nunique")
    table["in_test"] = (table["fold"] == "test").astype(float)
    return table[["id", "label", "fold", "folds_of_cluster", "classes_of_fold", "in_test"]]


def run(params: Params, paths: Paths) -> None:
    """Write data/split.csv and check it."""
    from unfreeze.data import expectations

    rows = manifest.usable(pd.read_parquet(paths.manifest))
    folds = assign_folds(rows, params.split, params.seed)
    files.write_csv(paths.split, folds)
    expectations.gate("split", describe_folds(folds, rows), expectations.split_rules(params.split), paths)
    log.info("folds: %s", ", ".join(f"{name} {count}" for name, count in folds["fold"].value_counts().items()))
