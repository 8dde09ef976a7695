"""A run of `unfreeze predict`: images in, rows out."""

import errno
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING

from PIL import Image

from unfreeze import files
from unfreeze.errors import UnfreezeError
from unfreeze.runtime import console
from unfreeze.serving import conformal, loading, predictions, sheet
from unfreeze.serving.classifier import MODEL, Classifier
from unfreeze.serving.heatmaps import Heatmaps, find_network
from unfreeze.serving.inputs import STANDARD_INPUT, Input, count_inputs, is_apart, open_inputs
from unfreeze.serving.journal import Journal
from unfreeze.serving.loading import Prediction
from unfreeze.serving.locate import Located
from unfreeze.serving.predictions import Form, Row

if TYPE_CHECKING:
    from unfreeze.cluster.shards import Cluster
    from unfreeze.cluster.storage import Storage
    from unfreeze.serving.divided import DividedInputs


@dataclass(frozen=True)
class Options:
    """What the user asked for.

    Args:
        sources: Files, folders and what else `serving/inputs.py` reads.
        out: The file for the rows; None to give them to `show`.
        top: How many of the most probable classes a row names; None for all.
        explain: The folder for Grad-CAM overlays; None for none.
        sheet: The PNG that shows the first images; None for none.
        coverage: Stated coverage of conformal sets; None for none.
    """

    sources: list[str]
    out: Path | None = None
    top: int | None = None
    explain: Path | None = None
    sheet: Path | None = None
    coverage: float | None = None


@dataclass
class Summary:
    """What a run did.

    Args:
        images: How many rows there are.
        failed: How many of the images could not be read.
        accepted: How many of the answers are accepted.
        kept: How many rows an earlier run had written.
    """

    images: int = 0
    failed: int = 0
    accepted: int = 0
    kept: int = 0

    def add(self, row: Row) -> None:
        """Count a row."""
        self.images += 1
        self.failed += row.failed
        self.accepted += row.accepted


def predict(
    located: Located,
    options: Options,
    *,
    further: list[Path],
    show: Callable[[Form, Row], None],
    standard_input: IO[bytes] | None = None,
    classifier: Classifier | None = None,
    machines: "tuple[Cluster, Storage] | None" = None,
) -> Summary:
    """Name the class of each image.

    Args:
        located: The model.
        options: What the user asked for.
        further: Where the `.keras` file may be, other than beside the package.
        show: Takes each row, in order, where no file is asked for.
        standard_input: Paths for the source `-`; the process's own by default.
        classifier: The model, if it is loaded already.
        machines: A cluster that predicts what all its machines see, and its storage; None for this machine.

    Raises:
        UnfreezeError: A source, the model or an option cannot be used.
    """
    _check_options(options)
    classifier = classifier or Classifier(located.folder)
    if options.coverage is not None:
        conformal.require_calibration(classifier.model)
    heatmaps = None
    if options.explain:
        heatmaps = Heatmaps(options.explain, find_network(located.folder, classifier.model, *further))
    if options.out:
        predictions.require_same_model(options.out, classifier.model.model_sha256)
    total = count_inputs(options.sources)
    # Notices damaged files before long work.
    classifier.try_example()
    with tempfile.TemporaryDirectory(prefix="unfreeze-") as folder:
        inputs = open_inputs(options.sources, Path(folder), standard_input or sys.stdin.buffer)
        first = sheet.MOST if options.sheet else 0
        divided = None
        if machines and _can_divide(options):
            from unfreeze.serving.divided import DividedInputs

            listed = list(inputs)
            inputs, divided = iter(listed), DividedInputs(classifier, *machines, listed)
        run = _Run(classifier, _make_form(classifier, located, options), heatmaps, total, first, divided)
        with _explain_full_disk(options.out or Path(folder)):
            run.to_file(options.out, inputs) if options.out else run.to_screen(inputs, show)
    if not run.summary.images:
        raise UnfreezeError("standard input named no images: give one path a line, or end each with NUL")
    if options.sheet:
        run.draw(options.sheet)
    return run.summary


def _check_options(options: Options) -> None:
    if not options.sources:
        raise UnfreezeError("no images are named: give files, folders, archives, tables, addresses or -")
    if options.sources.count(STANDARD_INPUT) > 1:
        raise UnfreezeError("- is there twice, and standard input can be read once: name it once")
    if options.out:
        predictions.find_writer(options.out)
    if options.sheet and options.sheet.suffix.lower() != ".png":
        raise UnfreezeError(f"--sheet {options.sheet} has the suffix {options.sheet.suffix!r}, expected .png")
    if options.explain and options.explain.exists() and not options.explain.is_dir():
        raise UnfreezeError(f"--explain {options.explain} is a file, expected a folder: name another one")
    if options.top is not None and options.top < 1:
        raise UnfreezeError(f"--top is {options.top}, expected 1 or more")
    if options.coverage is not None and not 0 < options.coverage < 1:
        raise UnfreezeError(f"--sets is {options.coverage:g}, expected a coverage above 0 and below 1, such as 0.95")
    if options.explain:
        _require_writable("--explain", options.explain)
    for option, path in (("--out", options.out), ("--sheet", options.sheet)):
        if path:
            _require_writable(option, path.parent)


def _require_writable(option: str, folder: Path) -> None:
    """Raise an error where nothing can be written into a folder, or where it cannot be made; nothing is left."""
    there = next(place for place in (folder.absolute(), *folder.absolute().parents) if place.exists())
    try:
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as error:
        raise UnfreezeError(
            f"{option}: nothing can be written into {there} ({error.strerror}): name another place"
        ) from error


def _can_divide(options: Options) -> bool:
    """Tell whether a cluster may predict; say it if not."""
    apart = [source for source in options.sources if is_apart(source)]
    if apart or options.explain:
        why = f"{apart[0]} is an archive or an address" if apart else "--explain needs the pixels here"
        console.log.info("this machine predicts all images, and not the cluster: %s", why)
    return not (apart or options.explain)


def _make_form(classifier: Classifier, located: Located, options: Options) -> Form:
    model = classifier.model
    quantile = None
    if options.coverage is not None:
        quantile = conformal.find_quantile(classifier.reference.scores, options.coverage)
    return Form(
        model=model.model_sha256,
        version=located.version or "",
        package=files.hash_file(classifier.folder / MODEL),
        classes=list(model.classes),
        top=options.top,
        coverage=options.coverage,
        quantile=quantile,
    )


@dataclass
class _Run:
    """One run.

    Args:
        classifier: The model.
        form: What rows hold.
        heatmaps: Where overlays go; None for none.
        total: How many images there will be; None if that is not known.
        first: How many images at the beginning are kept for the sheet.
        divided: The images, if a cluster predicts them.
    """

    classifier: Classifier
    form: Form
    heatmaps: Heatmaps | None
    total: int | None
    first: int
    divided: "DividedInputs | None" = None
    summary: Summary = field(default_factory=Summary)
    _rows: list[Row] = field(default_factory=list)
    _pictures: list[Image.Image | None] = field(default_factory=list)
    _overlays: list[Path | None] = field(default_factory=list)

    def to_file(self, out: Path, inputs: Iterator[Input]) -> None:
        """Write all rows to a file; those that a killed run has written are kept."""
        with Journal(out, self.form) as journal:
            with console.progress("predicting", self.total) as advance:

                def keep(row: Row) -> None:
                    self._note(row)
                    self.summary.kept += 1
                    advance()

                left = journal.skip(self._watch(inputs), keep)
                for some in self._predict(left, careful=journal.goes_on):
                    rows = [(prediction.loaded.input, self.form.make_row(prediction)) for prediction in some]
                    journal.append(rows)
                    for _, row in rows:
                        self._note(row)
                    advance(len(rows))
            if self.summary.images:
                predictions.write(out, self.form, journal.read())
            journal.remove()

    def to_screen(self, inputs: Iterator[Input], show: Callable[[Form, Row], None]) -> None:
        """Give each row to a function."""
        for some in self._predict(self._watch(inputs)):
            for prediction in some:
                row = self.form.make_row(prediction)
                self._note(row)
                show(self.form, row)

    def draw(self, path: Path) -> None:
        """Draw the first images."""
        count = len(self._rows)
        whole = "" if count == self.summary.images else f", the first {count} of {self.summary.images:,} images"
        cells = [
            sheet.Cell(row, picture, overlay)
            for row, picture, overlay in zip(self._rows, self._pictures, self._overlays, strict=True)
        ]
        with _explain_full_disk(path):
            sheet.draw(cells, path, title=f"{self.classifier.model.backbone}{whole}")

    def _predict(self, inputs: Iterator[tuple[int, Input]], *, careful: bool = False) -> Iterator[list[Prediction]]:
        if self.divided:
            yield from self.divided.predict(inputs)
            return
        begun = loading.count_begun(self.classifier) if careful else 0
        for some in loading.predict(self.classifier, inputs, isolated=begun):
            # Before the rows: a run that goes on behind a row finds its overlay.
            if self.heatmaps:
                self.heatmaps.write(some)
            yield some

    def _watch(self, inputs: Iterator[Input]) -> Iterator[tuple[int, Input]]:
        """Number the inputs, and keep the first ones' pictures for the sheet."""
        for number, found in enumerate(inputs):
            if number < self.first:
                picture = None if found.fetch() else self._load_picture(found)
                self._pictures.append(picture)
                self._overlays.append(self.heatmaps.find(number, found) if self.heatmaps else None)
            yield number, found

    def _load_picture(self, found: Input) -> Image.Image | None:
        return sheet.load_picture(found.path, max_pixels=self.classifier.model.max_pixels)

    def _note(self, row: Row) -> None:
        self.summary.add(row)
        if len(self._rows) < self.first:
            self._rows.append(row)


@contextmanager
def _explain_full_disk(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}:
            raise
        raise UnfreezeError(
            f"no space left to write {path}: free some and run the same command again, which goes on where it was"
        ) from error
