"""metrics/corrections.json: what the corrections of labels changed; metrics/study_record.json: what is compared."""

import io
from collections.abc import Iterable
from typing import TYPE_CHECKING, Self

from unfreeze import files
from unfreeze.records.interval import Interval
from unfreeze.records.record import Record

if TYPE_CHECKING:
    import pandas as pd


class Counts(Record):
    """What checks/corrections.csv comes to.

    Args:
        relabelled: Number of images with another label than the source's.
        excluded: Number of images that are left out.
        kept: Number of images whose label somebody found right.
        unfit: A line for each correction that no longer fits: what, which image, and why.
    """

    relabelled: int
    excluded: int
    kept: int
    unfit: tuple[str, ...]

    @property
    def is_empty(self) -> bool:
        """Whether there is no correction at all."""
        return not (self.relabelled or self.excluded or self.kept or self.unfit)


def describe_counts(counts: Counts) -> str:
    """Return the counts in words.

    >>> describe_counts(Counts(relabelled=2, excluded=1, kept=0, unfit=()))
    '2 images relabelled, 1 excluded, 0 kept'
    """
    images = "1 image" if counts.relabelled == 1 else f"{counts.relabelled:,} images"
    text = f"{images} relabelled, {counts.excluded:,} excluded, {counts.kept:,} kept"
    return f"{text}; {len(counts.unfit):,} corrections no longer fit" if counts.unfit else text


class Effect(Record):
    """A backbone before and after the corrections, on the images that are in both test folds.

    Args:
        backbone: Its name.
        earlier_by_old_labels: Accuracy of the earlier model by the labels of then.
        earlier: Its accuracy by the labels of now.
        now: That of the present model.
        difference: `now` minus `earlier`; its interval is of the paired bootstrap.
        p_value: Of the exact McNemar test, adjusted by Holm for the number of backbones.
    """

    backbone: str
    earlier_by_old_labels: float
    earlier: float
    now: float
    difference: Interval
    p_value: float


class Comparison(Record):
    """This study and one before it of the same source that had fewer corrections.

    Args:
        earlier_corrections: How many changes of images the earlier study had; see `StudyRecord.corrections`.
        same_settings: Whether settings and training code were the same, so that the corrections alone can differ.
        images: Number of images in both test folds.
        relabelled: How many of them had another label then.
        effects: One entry a backbone of both.
    """

    earlier_corrections: int
    same_settings: bool
    images: int
    relabelled: int
    effects: tuple[Effect, ...]


class Corrections(Record):
    """The content of metrics/corrections.json.

    Args:
        counts: How many there are.
        comparison: With the study before; None where none is known.
    """

    counts: Counts
    comparison: Comparison | None


# What the column of a backbone's predictions begins with.
PREDICTED = "predicted "


class StudyRecord(Record):
    """What the models of one study said of the test fold.

    Args:
        data: Name of the data set.
        source: Digest of where it comes from.
        settings: Digest of the settings and the code that training depends on.
        corrections: One entry an image that has another label or is left out: its SHA-256, and the label or nothing.
        test_fold: Lines of a CSV table, one row a test image: `path`, `sha256`, `label`, and a column a backbone with
            the class it predicts, named by `PREDICTED`.
    """

    data: str
    source: str
    settings: str
    corrections: tuple[str, ...]
    test_fold: tuple[str, ...]

    @classmethod
    def of(cls, table: "pd.DataFrame", *, data: str, source: str, settings: str, corrections: Iterable[str]) -> Self:
        """Return the record of a study.

        Args:
            table: The test fold, as `test_fold` has it.
            data: As above, as are the others.
            source: As above.
            settings: As above.
            corrections: As above, in any order.
        """
        lines = table.to_csv(index=False, lineterminator="\n").removesuffix("\n").split("\n")
        return cls(
            data=data,
            source=source,
            settings=settings,
            corrections=tuple(sorted(corrections)),
            test_fold=tuple(lines),
        )

    @property
    def table(self) -> "pd.DataFrame":
        """The test fold as a table of text."""
        return files.read_csv(io.StringIO("\n".join(self.test_fold)))


class StoredStudy(StudyRecord):
    """The content of metrics/study_record.json.

    Args:
        earlier: The study that this one is compared with; None where none is known.
    """

    earlier: StudyRecord | None = None
