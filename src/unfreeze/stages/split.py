"""Put every usable image into one fold, copies of one image and groups into the same."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from unfreeze import files
from unfreeze.checks import corrections, manifest
from unfreeze.errors import UnfreezeError
from unfreeze.paths import Paths
from unfreeze.runtime.console import log
from unfreeze.settings.base import CALIBRATION
from unfreeze.settings.images import Split
from unfreeze.sources.fold_words import list_missing_folds


@dataclass(frozen=True)
class Settings:
    """What the stage uses of params.yaml."""

    seed: int
    split: Split


# Standard deviations of a share that chance may bring: one fold in 370 leaves them.
CHANCE = 3


def assign_folds(rows: pd.DataFrame, settings: Split, seed: int) -> pd.DataFrame:
    """Give every cluster of images a fold.

    Args:
        rows: Usable images: path, label, cluster, pixels_sha256 and, where the source gives folds, `fold`, empty for
            images that it gives none.
        settings: Shares of the folds and how clusters are placed.
        seed: Seed of the draw.

    Returns:
        One row an image: `id` and `fold` (train, val, test or calibration), sorted by id.

    Raises:
        UnfreezeError: A class has too few images for the folds.
    """
    rows = rows.sort_values("path", ignore_index=True)
    place = _place_exactly if settings.method == "exact" else _place_by_content
    folds = read_given_folds(rows)
    is_given = bool((folds != "").any())
    open_rows, shares = folds == "", settings.shares
    held_out = shares.pop(CALIBRATION, 0)
    # Rounded, as 0.5 + 0.1 must place images like 0.6.
    shares["train"] = round(shares["train"] + held_out, 9)
    if missing := list_missing_folds(folds):
        open_rows = folds == "train"
        shares = {fold: share for fold, share in shares.items() if fold in {"train", *missing}}
    folds[open_rows] = rows.loc[open_rows, "cluster"].map(place(rows[open_rows], shares, seed))
    if held_out:
        # Taken from training images alone, so that the other folds stay those of a study without it.
        is_train = folds == "train"
        inner = {"train": settings.train, CALIBRATION: held_out}
        # Another seed: the hash that put a cluster into training says nothing new.
        folds[is_train] = rows.loc[is_train, "cluster"].map(place(rows[is_train], inner, seed + 1))
    require_all_folds(rows, folds, settings, is_given=is_given)
    return pd.DataFrame({"id": rows["path"], "fold": folds})


def read_given_folds(rows: pd.DataFrame) -> "pd.Series[str]":
    """Return the fold that the source gives each image, empty for none.

    An image without one follows the first image of its cluster that has one.

    Args:
        rows: Usable images, as `assign_folds` takes them.
    """
    if "fold" not in rows:
        return pd.Series("", index=rows.index)
    folds = rows["fold"].copy()
    of_cluster = folds[folds != ""].groupby(rows["cluster"]).first()
    return folds.where(folds != "", rows["cluster"].map(of_cluster).fillna(""))


def require_all_folds(rows: pd.DataFrame, folds: "pd.Series[str]", settings: Split, *, is_given: bool) -> None:
    """Refuse a split in which a class has no image in a fold.

    Args:
        rows: Usable images, as `assign_folds` takes them.
        folds: Their folds.
        settings: How clusters are placed.
        is_given: Whether the source gives folds.

    Raises:
        UnfreezeError: Names a class, a fold, and what to do.
    """
    names = list(settings.shares)
    counts = pd.crosstab(rows["label"], folds).reindex(columns=names, fill_value=0)
    if counts.empty or counts.to_numpy().min() > 0:
        return
    label = counts.min(axis=1).idxmin()
    fold = names[int(counts.loc[[label]].to_numpy().argmin())]
    of_class = rows[rows["label"] == label]
    images, clusters = len(of_class), of_class["cluster"].nunique()
    remedy = "add images or merge classes"
    if is_given and fold != CALIBRATION:
        remedy = "correct the folds that the source gives"
    elif clusters < len(names) <= images:
        remedy = (
            f"its {images} images are near copies, or of one group, and stay together: add images of other scenes; "
            "if they are no copies, set checks.near_duplicates.level=off"
        )
    elif settings.method == "stable":
        remedy += ", or set split.method=exact"
    elif clusters >= len(names):
        remedy += f", or raise split.{fold}"
    raise UnfreezeError(f"class {label!r} has {clusters} different images and none of them in fold {fold}: {remedy}")


def assign_folds_as_before(rows: pd.DataFrame, settings: Split, seed: int) -> pd.DataFrame | None:
    """Give every usable image the fold that it had before any correction, so that a study can be compared with it.

    Args:
        rows: The manifest.
        settings: Shares of the folds and how clusters are placed.
        seed: Seed of the draw.

    Returns:
        What `assign_folds` returns; None where no label was corrected and no image left out, or where these folds
        would lack images of a class by the labels of now.
    """
    usable = manifest.select_usable(rows)
    is_drawn = (rows["verdict"] == "ok") | ((rows["verdict"] == corrections.EXCLUDED) & rows["pixels_sha256"].notna())
    if corrections.GIVEN not in rows and is_drawn.sum() == len(usable):
        return None
    given = rows.assign(label=corrections.given_labels(rows))[is_drawn].reset_index(drop=True)
    try:
        folds = assign_folds(given, settings, seed)
    except UnfreezeError:
        return None
    folds = folds[folds["id"].isin(usable["path"])].reset_index(drop=True)
    labels = folds["id"].map(usable.set_index("path")["label"])
    counts = pd.crosstab(labels, folds["fold"]).reindex(columns=list(settings.shares), fill_value=0)
    every_class = counts.to_numpy().min() > 0
    off = describe_folds(folds, usable, settings)["share_off"].max()
    if every_class and ("fold" in rows or off <= settings.tolerance):
        return folds
    log.info("corrections took too many images of a class from a fold: folds are drawn again")
    return None


def _place_exactly(rows: pd.DataFrame, shares: dict[str, float], seed: int) -> pd.Series:
    """Return each cluster's fold: in every class the fold that lacks most, for the largest clusters first."""
    clusters = rows.groupby("cluster").agg(label=("label", _find_most_frequent), images=("path", "size"))
    order = np.random.default_rng(seed).permutation(len(clusters))
    clusters = clusters.iloc[order].sort_values("images", ascending=False, kind="stable")
    folds: dict[Any, str] = {}
    names, wanted = list(shares), np.array(list(shares.values())) / sum(shares.values())
    for _, of_class in clusters.groupby("label"):
        lacking = wanted * of_class["images"].sum()
        for cluster, images in of_class["images"].items():
            fold = int(lacking.argmax())
            lacking[fold] -= images
            folds[cluster] = names[fold]
    return pd.Series(folds, dtype=str)


def _place_by_content(rows: pd.DataFrame, shares: dict[str, float], seed: int) -> pd.Series:
    """Return each cluster's fold by the hash of its content, whatever else there is.

    A group goes by its name, an image by its pixels. Of several that make one cluster the smallest name or digest
    counts, so a new near copy, or one that joins two groups, may move those it joins.
    """
    named = rows["pixels_sha256"]
    if "group" in rows:
        named = named.where(rows["group"] == "", "group " + rows["group"])
    content = named.groupby(rows["cluster"]).min()
    # 52 bits, as many as a float holds.
    places = content.map(lambda digest: int(files.digest([seed, digest])[:13], 16) / 16**13)
    ends = np.cumsum(list(shares.values()))[:-1] / sum(shares.values())
    return pd.Series(np.array(list(shares))[np.searchsorted(ends, places, "right")], index=places.index)


def _find_most_frequent(labels: pd.Series) -> str:
    return str(labels.value_counts().index[0] if labels.nunique() > 1 else labels.iloc[0])


def describe_folds(folds: pd.DataFrame, rows: pd.DataFrame, settings: Split) -> pd.DataFrame:
    """Return the split with what the gate looks at.

    Returns:
        One row an image: id, label, fold, `folds_of_cluster`, `classes_of_fold`, and `share_off`: by how much the
        share of its fold in its class misses the wanted one; by how much more than chance may, where folds are drawn
        by content.
    """
    table = folds.merge(rows.drop(columns="fold", errors="ignore"), left_on="id", right_on="path")
    table["folds_of_cluster"] = table.groupby("cluster")["fold"].transform("nunique")
    table["classes_of_fold"] = table.groupby("fold")["label"].transform("nunique")
    of_class = table.groupby("label")["id"].transform("size")
    share = table.groupby(["label", "fold"])["id"].transform("size") / of_class
    wanted = table["fold"].map(settings.shares)
    table["share_off"] = (share - wanted).abs()
    if settings.method == "stable":
        by_chance = CHANCE * (wanted * (1 - wanted) / of_class) ** 0.5
        table["share_off"] = (table["share_off"] - by_chance).clip(lower=0)
    return table[["id", "label", "fold", "folds_of_cluster", "classes_of_fold", "share_off"]]


def run(settings: Settings, paths: Paths) -> None:
    """Write data/split.csv and check it."""
    from unfreeze.checks import gate, rules

    all_rows = pd.read_parquet(paths.manifest)
    rows = manifest.select_usable(all_rows)
    if missing := list_missing_folds(read_given_folds(rows)):
        log.info("the source gives no fold %s: drawn from its training images", " and no fold ".join(missing))
    folds = assign_folds_as_before(all_rows, settings.split, settings.seed)
    if folds is None:
        folds = assign_folds(rows, settings.split, settings.seed)
    files.write_csv(paths.split, folds)
    wanted = rules.guard_split(settings.split, given="fold" in rows)
    gate.enforce("split", describe_folds(folds, rows, settings.split), wanted, paths)
    log.info("folds: %s", ", ".join(f"{name} {count}" for name, count in folds["fold"].value_counts().items()))
