"""Corrections: what a person decided on an image's label: keep it, replace it, or leave the image out.

They are one CSV file in git, one line an image, so that a correction outlives the source's next download.
"""

import csv
import io
from collections.abc import Callable, Collection, Iterable
from datetime import date as Date  # noqa: N812
from pathlib import Path
from typing import Annotated, Literal, Self

import numpy as np
import pandas as pd
from pydantic import AfterValidator, Field, ValidationError, model_validator

from unfreeze import files
from unfreeze.errors import UnfreezeError
from unfreeze.records.corrections import Counts
from unfreeze.settings.base import Section, Sha256

COLUMNS = ("sha256", "action", "label", "reason", "by", "date")
Action = Literal["keep", "relabel", "exclude"]
# Verdict of an image that is left out, and what its reason in the manifest begins with.
EXCLUDED = "excluded"
# The manifest has this column where a label was replaced: the source's label, empty for all other images.
GIVEN = "label_given"

Line = Annotated[str, AfterValidator(lambda text: " ".join(text.split())), Field(pattern=r"\S")]


class Correction(Section):
    """One line of the file.

    Args:
        sha256: SHA-256 of the image's file; all files with these bytes are corrected.
        action: `keep`: the label is right, findings on it and on copies are waived. `relabel`: it gets another label.
            `exclude`: it is used for nothing.
        label: The label that is kept, or that replaces the source's; empty for `exclude`.
        reason: Why.
        by: Who decided.
        date: When.
    """

    sha256: Sha256
    action: Action
    label: str
    reason: Line
    by: Line
    date: Date

    @model_validator(mode="after")
    def _has_a_label_where_it_needs_one(self) -> Self:
        if self.action == "exclude" and self.label:
            raise ValueError(f"label {self.label!r}: an image that is excluded has none, leave it empty")
        if self.action != "exclude" and not self.label:
            raise ValueError(f"label is empty: {self.action} needs the label that is right")
        return self


def read(path: Path) -> list[Correction]:
    """Read the corrections.

    Args:
        path: The file; none is no correction.

    Raises:
        UnfreezeError: A line is no correction, or two lines correct one image; names the line and what to do.
    """
    if not path.exists():
        return []
    name = f"{path.parent.name}/{path.name}"
    # Spreadsheets put a byte-order mark in front.
    reader = csv.reader(io.StringIO(files.read_text(path).removeprefix("\ufeff"), newline=""), strict=True)
    found: dict[str, tuple[int, Correction]] = {}
    try:
        header = next(reader, [])
        if tuple(header) != COLUMNS:
            raise UnfreezeError(
                f"{name}: line 1 is {','.join(header)!r}, expected {','.join(COLUMNS)!r}: write that line, and "
                "separate columns by commas"
            )
        for cells in filter(None, reader):
            correction = _parse(cells, f"{name}: line {reader.line_num}")
            line, _ = found.setdefault(correction.sha256, (reader.line_num, correction))
            if line != reader.line_num:
                raise UnfreezeError(
                    f"{name}: line {reader.line_num} corrects image {correction.sha256[:12]}..., and so does line "
                    f"{line}: remove one of them"
                )
    except csv.Error as error:
        raise UnfreezeError(
            f"{name}: line {reader.line_num} is not CSV ({error}): put a cell that holds commas or quotes into "
            "quotes, and double the quotes in it"
        ) from error
    return [correction for _, correction in found.values()]


def _parse(cells: list[str], place: str) -> Correction:
    """Return the correction of a line.

    Args:
        cells: Its cells.
        place: File and line, for messages.

    Raises:
        UnfreezeError: It is none.
    """
    remedy = "correct the line, or remove it"
    if len(cells) != len(COLUMNS):
        raise UnfreezeError(
            f"{place} has {len(cells)} cells, expected {len(COLUMNS)} ({', '.join(COLUMNS)}): {remedy}; a cell that "
            "holds commas stands in quotes"
        )
    try:
        return Correction.model_validate(dict(zip(COLUMNS, cells, strict=True)))
    except ValidationError as error:
        first = error.errors()[0]
        what = first["msg"].removeprefix("Value error, ")
        if first["loc"]:
            what = f"{first['loc'][0]} is {first['input']!r}: {what}"
        raise UnfreezeError(f"{place}: {what}; {remedy}") from error


def write(path: Path, corrections: Iterable[Correction]) -> None:
    """Write the corrections, sorted by digest, so that two people's additions rarely touch the same lines."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for correction in sorted(corrections, key=lambda one: one.sha256):
        writer.writerow(correction.model_dump(mode="json").values())
    files.write_text(path, text.getvalue())


def merge(known: Iterable[Correction], new: Iterable[Correction]) -> list[Correction]:
    """Return the corrections with others added; of two on one image the new one counts."""
    return list({correction.sha256: correction for correction in (*known, *new)}.values())


def require_known_labels(
    corrections: Iterable[Correction], labels: Collection[str], name: str, list_digests: Callable[[], set[str]]
) -> None:
    """Refuse labels that no image of the source has, which would begin a class with one image.

    Args:
        corrections: The corrections; those of images that are not here may be of another data set.
        labels: The source's labels.
        name: The file, for the message.
        list_digests: Returns the SHA-256 of each image's file. Called only where a label is unknown.

    Raises:
        UnfreezeError: An image gets an unknown label.
    """
    unknown = [one for one in corrections if one.action == "relabel" and one.label not in labels]
    here = list_digests() if unknown else set()
    for correction in unknown:
        if correction.sha256 in here:
            raise UnfreezeError(
                f"{name}: image {correction.sha256[:12]}... gets the label {correction.label!r}, which no image of "
                f"the source has (they have {', '.join(sorted(labels))}): correct the line; a new class begins in "
                "the source"
            )


def apply(rows: pd.DataFrame, corrections: Iterable[Correction]) -> pd.DataFrame:
    """Give images their corrected labels, and those that are left out the verdict `excluded`.

    Args:
        rows: One row an image: `label`, `sha256`, `verdict` and others.
        corrections: The corrections.

    Returns:
        The rows; with a column `label_given` if a label was replaced, and the same rows if none was.

    Example:
        >>> rows = pd.DataFrame({"sha256": ["a" * 64], "label": ["cat"], "verdict": ["ok"]})
        >>> why = {"reason": "barks", "by": "me", "date": Date(2030, 1, 1)}
        >>> dog = Correction(sha256="a" * 64, action="relabel", label="dog", **why)
        >>> apply(rows, [dog])[["label", "label_given"]].values.tolist()
        [['dog', 'cat']]
    """
    by_action = _by_action(corrections)
    wanted = rows["sha256"].map({digest: one.label for digest, one in by_action["relabel"].items()})
    is_changed = wanted.notna() & (wanted != rows["label"])
    if is_changed.any():
        given = rows["label"].where(is_changed, "")
        rows = rows.assign(**{"label": rows["label"].where(~is_changed, wanted), GIVEN: given})
    is_excluded = rows["sha256"].isin(list(by_action["exclude"]))
    return rows.assign(verdict=rows["verdict"].where(~is_excluded, EXCLUDED)) if is_excluded.any() else rows


def name_reasons(rows: pd.DataFrame, corrections: Iterable[Correction]) -> pd.DataFrame:
    """Return the manifest's rows with the reason of each image that is left out by a correction.

    Args:
        rows: What `apply` returned, with `reason`.
        corrections: The corrections.
    """
    reasons = {digest: f"{EXCLUDED}: {one.reason}" for digest, one in _by_action(corrections)["exclude"].items()}
    return rows.assign(reason=rows["sha256"].map(reasons).fillna(rows["reason"])) if reasons else rows


def take_used(rows: pd.DataFrame, near: np.ndarray) -> tuple[pd.DataFrame, np.ndarray]:
    """Return the rows that no correction leaves out, renumbered, and their near copies.

    Args:
        rows: What `apply` returned.
        near: int64 array of shape (pairs, 2): row numbers of images that show the same.

    Returns:
        The rows, and the pairs of which both images are among them, by their new numbers.
    """
    is_used = (rows["verdict"] != EXCLUDED).to_numpy()
    places = np.cumsum(is_used) - 1
    return rows[is_used].reset_index(drop=True), places[near[is_used[near].all(axis=1)]]


def given_labels(rows: pd.DataFrame) -> pd.Series:
    """Return the source's labels of the manifest's rows, whatever corrections made of them."""
    return rows["label"].where(rows[GIVEN] == "", rows[GIVEN]) if GIVEN in rows else rows["label"]


def is_confirmed(rows: pd.DataFrame, corrections: Iterable[Correction]) -> pd.Series:
    """Tell of which images somebody has decided on the label, by keeping or by replacing it.

    Args:
        rows: One row an image: `sha256` and `label`.
        corrections: The corrections.

    Returns:
        One bool an image; false where the label is no longer the one that was looked at.
    """
    decided = rows["sha256"].map({one.sha256: one.label for one in corrections if one.action != "exclude"})
    return decided.notna() & (decided == rows["label"])


def find_unfit(rows: pd.DataFrame, corrections: Iterable[Correction]) -> dict[str, str]:
    """Tell which corrections no longer fit the images.

    Args:
        rows: The manifest's rows.
        corrections: The corrections.

    Returns:
        Why, by the image's SHA-256.
    """
    labels = given_labels(rows).groupby(rows["sha256"]).unique().map(list).to_dict()
    unfit = {}
    for one in corrections:
        if one.sha256 not in labels:
            unfit[one.sha256] = "the image is gone"
        elif one.action == "relabel" and labels[one.sha256] == [one.label]:
            unfit[one.sha256] = f"the source's label is {one.label} already"
        elif one.action == "keep" and one.label not in labels[one.sha256]:
            unfit[one.sha256] = f"the source's label is {', '.join(labels[one.sha256])} now, {one.label} was kept"
    return unfit


def count(rows: pd.DataFrame, corrections: Iterable[Correction]) -> Counts:
    """Return how many images corrections changed, and which corrections no longer fit.

    Args:
        rows: The manifest's rows.
        corrections: The corrections.
    """
    corrections = list(corrections)
    unfit = find_unfit(rows, corrections)
    return Counts(
        relabelled=int((rows[GIVEN] != "").sum()) if GIVEN in rows else 0,
        excluded=int((rows["verdict"] == EXCLUDED).sum()),
        kept=int(is_confirmed(rows, _by_action(corrections)["keep"].values()).sum()),
        unfit=tuple(
            f"{one.action} {one.sha256[:12]}...: {unfit[one.sha256]}" for one in corrections if one.sha256 in unfit
        ),
    )


def tabulate(rows: pd.DataFrame, corrections: Iterable[Correction]) -> pd.DataFrame:
    """Return the corrections for people, those that no longer fit first.

    Args:
        rows: The manifest's rows.
        corrections: The corrections.

    Returns:
        Columns image, correction, reason, by, date, state.
    """
    corrections = list(corrections)
    unfit, named = find_unfit(rows, corrections), rows.groupby("sha256")["path"].agg(", ".join).to_dict()
    lines = [
        {
            "image": named.get(one.sha256, one.sha256),
            "correction": f"{one.action} {one.label}".rstrip(),
            "reason": one.reason,
            "by": one.by,
            "date": str(one.date),
            "state": f"does not fit: {unfit[one.sha256]}" if one.sha256 in unfit else "applied",
        }
        for one in sorted(corrections, key=lambda one: one.sha256 not in unfit)
    ]
    return pd.DataFrame(lines, columns=["image", "correction", "reason", "by", "date", "state"])


def _by_action(corrections: Iterable[Correction]) -> dict[Action, dict[str, Correction]]:
    found: dict[Action, dict[str, Correction]] = {"keep": {}, "relabel": {}, "exclude": {}}
    for one in corrections:
        found[one.action][one.sha256] = one
    return found
