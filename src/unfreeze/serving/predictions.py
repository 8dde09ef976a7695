"""Rows of predictions, and the files that hold them."""

import csv
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from unfreeze import files
from unfreeze.errors import UnfreezeError
from unfreeze.serving import conformal
from unfreeze.serving.loading import Prediction

# Decimal places of probabilities.
DIGITS = 8
# Rows of a Parquet file's groups.
GROUP = 10_000


@dataclass(frozen=True)
class Row:
    """What the user gets for one image.

    Args:
        source: How the user named it.
        predicted: The most probable class; empty if the image could not be read.
        probabilities: Class and probability: all by class number, or the K most probable ones in descending order.
        accepted: Whether the answer may be believed.
        reason: Why it is not accepted: `unsure`, `unlike training`, or why the image could not be read.
        set: The classes of the conformal set, most probable first; None if no sets were asked for.
    """

    source: str
    predicted: str
    probabilities: list[tuple[str, float]]
    accepted: bool
    reason: str
    set: list[str] | None = None

    @property
    def failed(self) -> bool:
        """Whether the image could not be read."""
        return not self.predicted


@dataclass(frozen=True)
class Form:
    """What rows hold; files of another form are not gone on with.

    Args:
        model: Digest of the model.
        version: Its version in the registry; empty for a model that is not from there.
        package: Digest of what the packed model says of itself, with its thresholds.
        classes: Class names by number.
        top: How many of the most probable classes a row names; None for all.
        coverage: Stated coverage of conformal sets; None without sets.
        quantile: As `conformal.find_quantile` returns it.
    """

    model: str
    version: str
    package: str
    classes: list[str]
    top: int | None = None
    coverage: float | None = None
    quantile: float | None = None

    def make_row(self, prediction: Prediction) -> Row:
        """Return the row of a prediction."""
        source, probabilities = prediction.loaded.input.source, prediction.probabilities
        no_set: list[str] | None = None if self.quantile is None else []
        if probabilities is None:
            return Row(source, "", [], False, prediction.reason, no_set)
        order = np.argsort(-probabilities, kind="stable")
        shown = range(len(self.classes)) if self.top is None else order[: self.top]
        chosen = no_set
        if self.quantile is not None:
            (members,) = conformal.choose_sets(probabilities[None], self.quantile)
            chosen = [self.classes[number] for number in order if members[number]]
        return Row(
            source,
            self.classes[order[0]],
            [(self.classes[number], round(float(probabilities[number]), DIGITS)) for number in shown],
            not prediction.reason,
            prediction.reason,
            chosen,
        )

    def flatten(self, row: Row) -> dict[str, Any]:
        """Return a row as columns of a table; None where an image that could not be read has no value."""
        if self.top is None:
            found = dict(row.probabilities)
            columns: dict[str, Any] = {f"probability_{name}": found.get(name) for name in self.classes}
        else:
            padded = [*row.probabilities, *[(None, None)] * self.top][: min(self.top, len(self.classes))]
            columns = {
                f"{what}_{place}": value
                for place, pair in enumerate(padded, start=1)
                for what, value in zip(("class", "probability"), pair, strict=True)
            }
        sets = {} if row.set is None else {"set": row.set}
        return {
            "source": to_text(row.source),
            "predicted": row.predicted or None,
            **columns,
            "accepted": row.accepted,
            "reason": to_text(row.reason),
            **sets,
            "model": self.model,
            "version": self.version,
        }

    def to_json(self, row: Row) -> str:
        """Return a row as one line of JSON."""
        sets = {} if row.set is None else {"set": row.set}
        return json.dumps(
            {
                "source": row.source,
                "predicted": row.predicted or None,
                "probabilities": dict(row.probabilities),
                "accepted": row.accepted,
                "reason": row.reason,
                **sets,
                "model": self.model,
                "version": self.version,
            },
            ensure_ascii=not _is_unicode(row.source + row.reason),
        )


def to_text(text: str) -> str:
    r"""Return a text that every encoding of Unicode takes; other bytes of file names are escaped."""
    return text if _is_unicode(text) else text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _is_unicode(text: str) -> bool:
    return text.isascii() or not any("\ud800" <= character <= "\udfff" for character in text)


def find_writer(path: Path) -> Callable[[Path, Form, Iterable[Row]], None]:
    """Return the function that writes rows in the format that a file's suffix names.

    Raises:
        UnfreezeError: No format has this suffix.
    """
    writer = WRITERS.get(path.suffix.lower())
    if writer is None:
        raise UnfreezeError(f"--out {path} has the suffix {path.suffix!r}, expected {', '.join(WRITERS)}")
    return writer


def require_same_model(path: Path, model: str) -> None:
    """Refuse to replace a file that holds anything but predictions of a model.

    Args:
        path: The file, of a suffix that `find_writer` knows; it may be missing.
        model: The model's digest.

    Raises:
        UnfreezeError: It holds another model's predictions, or none.
    """
    if not path.exists():
        return
    remedy = "name another file with --out, or delete it"
    try:
        found = READERS[path.suffix.lower()](path)
    # Readers raise nearly anything on what is none of their formats.
    except Exception as error:
        raise UnfreezeError(f"{path} is there and holds no predictions: {remedy}") from error
    if found != model:
        raise UnfreezeError(f"{path} holds predictions of model {found:.12}, not of {model:.12}: {remedy}")


def _write_csv(path: Path, form: Form, rows: Iterable[Row]) -> None:
    with path.open("w", encoding="utf-8", newline="") as stream:
        table = csv.DictWriter(stream, list(form.flatten(_make_empty(form))), lineterminator="\n")
        table.writeheader()
        for row in rows:
            flat = form.flatten(row)
            flat["accepted"] = json.dumps(flat["accepted"])
            if row.set is not None:
                flat["set"] = json.dumps(row.set, ensure_ascii=False)
            table.writerow(flat)


def _write_jsonl(path: Path, form: Form, rows: Iterable[Row]) -> None:
    with path.open("w", encoding="utf-8") as stream:
        stream.writelines(f"{form.to_json(row)}\n" for row in rows)


def _write_parquet(path: Path, form: Form, rows: Iterable[Row]) -> None:
    # Takes a while to import, and the other formats do not need it.
    import pyarrow
    import pyarrow.parquet

    types = {"accepted": pyarrow.bool_(), "set": pyarrow.list_(pyarrow.string())}
    schema = pyarrow.schema(
        (name, types.get(name, pyarrow.float64() if name.startswith("probability_") else pyarrow.string()))
        for name in form.flatten(_make_empty(form))
    )
    rest = iter(rows)
    with pyarrow.parquet.ParquetWriter(path, schema) as table:
        while some := [form.flatten(row) for row in islice(rest, GROUP)]:
            table.write_table(pyarrow.Table.from_pylist(some, schema=schema))


def _make_empty(form: Form) -> Row:
    return Row("", "", [], False, "", None if form.quantile is None else [])


def _read_csv(path: Path) -> str:
    with path.open(encoding="utf-8", newline="") as stream:
        return str(next(csv.DictReader(stream))["model"])


def _read_jsonl(path: Path) -> str:
    with path.open(encoding="utf-8") as stream:
        return str(json.loads(stream.readline())["model"])


def _read_parquet(path: Path) -> str:
    import pyarrow.parquet

    with pyarrow.parquet.ParquetFile(path) as table:
        return str(next(table.iter_batches(1, columns=["model"]))["model"][0].as_py())


WRITERS: dict[str, Callable[[Path, Form, Iterable[Row]], None]] = {
    ".csv": _write_csv,
    ".jsonl": _write_jsonl,
    ".parquet": _write_parquet,
}
READERS: dict[str, Callable[[Path], str]] = {".csv": _read_csv, ".jsonl": _read_jsonl, ".parquet": _read_parquet}


def write(path: Path, form: Form, rows: Iterator[Row]) -> None:
    """Write rows to a file in the format of its suffix, all or none.

    Args:
        path: The file.
        form: What rows hold.
        rows: The rows, in order.
    """
    with files.atomic(path) as partial:
        find_writer(path)(partial, form, rows)


def to_line(row: Row) -> dict[str, Any]:
    """Return a row as JSON values; `from_line` reads them."""
    return asdict(row)


def from_line(values: dict[str, Any]) -> Row:
    """Return the row that `to_line` was given."""
    return Row(**{**values, "probabilities": [(name, value) for name, value in values["probabilities"]]})
