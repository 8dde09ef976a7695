"""Exports a model of the study: each format in a folder of its own, which has passed all gates or is not there."""

import contextlib
import functools
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from unfreeze import files
from unfreeze.errors import UnfreezeError, shorten
from unfreeze.images import decoding, formats, store
from unfreeze.images.isolated import bring
from unfreeze.images.originals import Originals
from unfreeze.images.store import Images
from unfreeze.paths import Paths
from unfreeze.records.exported_model import Export, ExportedModel, Exports, Parity
from unfreeze.records.packed_model import PackedModel, Unlike, Unsure
from unfreeze.runtime import console
from unfreeze.runtime.remote_folder import RemoteFolder
from unfreeze.serving import package
from unfreeze.serving.abstention import Vectors
from unfreeze.serving.classifier import MODEL, NETWORK, REFERENCE, read_model
from unfreeze.serving.export import parity
from unfreeze.serving.export.parity import Expected
from unfreeze.serving.export.program import PREDICT, Program, measure_speed, write_program
from unfreeze.serving.export.registry import Format, Material
from unfreeze.serving.network import FEATURES, PROBABILITIES, Network
from unfreeze.serving.reference import Reference
from unfreeze.settings.params import Params

BATCH = 8
# Images that tensors are compared on, files that predict.py is tried on, images that 8-bit ranges are taken from.
TENSOR_IMAGES, FILES, CALIBRATION_IMAGES = 256, 32, 300
FEATURES_FILE = "reference.npy"
# Of the .keras file's size that an exported folder takes; a SavedModel holds the weights twice.
SPACE = 3


@dataclass(frozen=True)
class Source:
    """What exports are made of.

    Args:
        package: The packed model.
        model: The `.keras` file.
        images: The image store.
        raw: Folder of the image files, also at an address.
        folds: The split: `id` and `fold` of each image.
        seed: Seed of the choices of images.
        max_drop: Largest loss of accuracy that passes, a share.
    """

    package: Path
    model: Path
    images: Path
    raw: Path | RemoteFolder
    folds: pd.DataFrame
    seed: int
    max_drop: float

    @classmethod
    def read(cls, params: Params, paths: Paths, backbone: str, packed: Path | None = None) -> "Source":
        """Return what a backbone's exports are made of in a checkout.

        Args:
            params: All of params.yaml.
            paths: The checkout.
            backbone: The backbone.
            packed: Its package, where that is elsewhere.
        """
        return cls(
            package=packed or paths.packed(backbone),
            model=paths.model(backbone),
            images=paths.images,
            raw=Originals.open(paths).root,
            folds=files.read_csv(paths.split),
            seed=params.seed,
            max_drop=params.export.max_drop,
        )


def export(source: Source, chosen: Sequence[Format], out: Path) -> Exports:
    """Write a model in some formats, each as a folder below `out`.

    A format that fails a gate leaves no folder, and ends the export; those before it stay.

    Args:
        source: The model and the images.
        chosen: The formats.
        out: Where the folders go; an earlier export there is replaced.

    Returns:
        The table of these formats.

    Raises:
        UnfreezeError: Files are missing or do not belong together, or a format cannot be written or fails a gate.
    """
    packed = read_model(source.package)
    for entry in chosen:
        _require_replaceable(out / entry.name, packed.backbone, entry)
    with tempfile.TemporaryDirectory(prefix="unfreeze-") as scratch:
        exporter = _Exporter(source, packed, Path(scratch))
        files.require_space(out, len(chosen) * SPACE * source.model.stat().st_size)
        written = []
        for entry in chosen:
            console.log.info("%s: %s", packed.backbone, entry.name)
            with files.atomic(out / entry.name) as partial:
                partial.mkdir()
                written.append(exporter.write(entry, partial))
        return exporter.tabulate(chosen, written, out)


def _require_replaceable(target: Path, backbone: str, entry: Format) -> None:
    """Raise an error where a folder holds anything but an earlier export of the same backbone in the same format."""
    if not target.exists():
        return
    what = "no export"
    with contextlib.suppress(UnfreezeError, OSError):
        there = ExportedModel.read(target / MODEL)
        if (there.backbone, there.format) == (backbone, entry.name):
            return
        what = f"an export of {there.backbone} as {there.format}"
    raise UnfreezeError(f"{target} is there already and is {what}: move it, or name another folder with --out")


class _Exporter:
    """Writes one model in any format; what all formats are compared with is computed once.

    Args:
        source: The model and the images.
        packed: What its package says of itself.
        scratch: Folder for copies of images that stay at an address.
    """

    def __init__(self, source: Source, packed: PackedModel, scratch: Path) -> None:
        self.source = source
        self._scratch = scratch
        self.packed = packed
        self.images = _require_consistent(source, self.packed)
        self.val = self.images.find_rows(source.folds, "val")
        self.train = self.images.find_rows(source.folds, "train")

    def write(self, entry: Format, folder: Path) -> tuple[Program, Parity]:
        """Write a format into an empty folder, and put it through the gates."""
        name, expected = self.packed.backbone, self.expected
        material = Material(self.source.package, lambda: self.network, self._calibrate)
        _convert(entry, material, folder, name)
        write_program(folder / PREDICT, entry)
        reference = Reference.read(self.source.package / REFERENCE)
        _write_features(folder, reference.vectors)
        model = self._describe(entry, folder, self.packed.unsure, self.packed.unlike)
        model.write(folder / MODEL)
        program = _load(entry, folder, name, self.packed.size)
        output = self._run(program, self.val, f"{name} as {entry.name}: held-back images")
        tensors = parity.compare_tensors(name, entry, expected, output.probabilities)
        scores = parity.compare_scores(
            name, entry, expected, output.probabilities, max_drop=self.source.max_drop, seed=self.source.seed
        )
        if entry.tolerance is None:
            # Thresholds and features to compare with are those of the rounded network.
            model = self._refit(entry, folder, program, output, reference)
            model.write(folder / MODEL)
        answers = expected.answers if entry.tolerance is not None else _answer(program, expected.pixels)
        packages = _list_imports(entry)
        tried = parity.compare_files(name, entry, folder, expected, answers, packages)
        passed = Parity(tensors=tensors, scores=scores, files=tried)
        model.model_copy(update={"parity": passed}).write(folder / MODEL)
        return program, passed

    def tabulate(self, chosen: Sequence[Format], written: Sequence[tuple[Program, Parity]], out: Path) -> Exports:
        """Measure what `write` has written, and return the table of formats."""
        pixels = store.read_pixels(self.source.images, np.resize(self.val, BATCH))
        speeds = measure_speed([program for program, _ in written], pixels)
        rows = [
            Export(
                format=entry.name,
                megabytes=entry.measure_megabytes(out / entry.name),
                latency_ms=latency,
                images_per_second=rate,
                difference=passed.tensors.difference,
                accuracy=passed.scores.accuracy,
                p_value=passed.scores.pair.p_value,
            )
            for entry, (_, passed), (latency, rate) in zip(chosen, written, speeds, strict=True)
        ]
        return Exports(backbone=self.packed.backbone, model_sha256=self.packed.model_sha256, formats=tuple(rows))

    @functools.cached_property
    def network(self) -> Any:
        """The Keras model with its outputs by name."""
        import keras

        from unfreeze.models import keras_file
        from unfreeze.models.backbone import add_features

        both = add_features(keras_file.load(self.source.model))
        return keras.Model(both.input, dict(zip((PROBABILITIES, FEATURES), both.outputs, strict=True)))

    @functools.cached_property
    def expected(self) -> Expected:
        """What the model of the study answers."""
        name, images = self.packed.backbone, self.source.images
        network = Network(self.source.package / NETWORK, batch_size=BATCH)
        random = np.random.default_rng(self.source.seed)
        compared = np.sort(random.permutation(len(self.val))[:TENSOR_IMAGES])
        batches = list(store.read_batches(images, self.val[compared], BATCH))
        keras = np.concatenate([self.network.predict_on_batch(batch)[PROBABILITIES] for batch in batches])
        rows = np.sort(random.permutation(self.val)[:FILES])
        paths = [bring(self.source.raw / self.images.ids[row], self._scratch) for row in rows]
        pixels = _decode(paths, self.packed)
        return Expected(
            labels=self.images.labels[self.val],
            packed=package.run(network, images, self.val, f"{name}: held-back images").probabilities,
            compared=compared,
            keras=keras.astype("float64"),
            files=paths,
            pixels=pixels,
            answers=_answer(network, pixels),
        )

    def _calibrate(self) -> Iterator[np.ndarray]:
        rows = package.choose_reference(self.train, CALIBRATION_IMAGES, self.source.seed)
        return store.read_batches(self.source.images, rows, 1)

    def _run(self, program: Program, rows: np.ndarray, what: str) -> package.Output:
        return package.run(program, self.source.images, rows, what)

    def _refit(
        self, entry: Format, folder: Path, program: Program, held_back: package.Output, reference: Reference
    ) -> ExportedModel:
        numbers = {name: row for row, name in enumerate(self.images.ids)}
        rows = np.array([numbers[name] for name in reference.ids])
        what = f"{self.packed.backbone} as {entry.name}: training images to compare with"
        features = self._run(program, rows, what).features
        _write_features(folder, features)
        before = self.packed
        unsure = package.find_unsure(held_back, self.images.labels, before.unsure.error_rate)
        unlike = package.find_unlike(features, held_back.features, before.unlike.false_alarms)
        # predict.py has read the old thresholds.
        return self._describe(entry, folder, unsure, unlike)

    def _describe(self, entry: Format, folder: Path, unsure: Unsure, unlike: Unlike) -> ExportedModel:
        packed = self.packed
        return ExportedModel(
            format=entry.name,
            unfreeze=version("unfreeze"),
            backbone=packed.backbone,
            classes=packed.classes,
            size=packed.size,
            resize=self.images.resize,
            # Pillow reads no HEIF by itself.
            image_formats=tuple(name for name in formats.SUFFIXES if name != "HEIF"),
            max_pixels=packed.max_pixels,
            temperature=packed.temperature,
            unsure=unsure,
            unlike=unlike,
            requirements=tuple(f"{name}=={version(name)}" for name in _list_imports(entry)),
            model_sha256=packed.model_sha256,
            data_sha256=packed.data_sha256,
            artefact_sha256={
                path.relative_to(folder).as_posix(): files.hash_file(path)
                for path in sorted(folder.rglob("*"))
                if path.is_file() and path.name != MODEL and "__pycache__" not in path.parts
            },
        )


def _write_features(folder: Path, vectors: Vectors) -> None:
    """Write the features of training images to compare with, as the package keeps them: float32."""
    directions = vectors.directions.astype("float16").astype("float32")
    np.save(folder / FEATURES_FILE, directions * vectors.lengths[:, None])


def _list_imports(entry: Format) -> tuple[str, ...]:
    return (entry.runtime, "numpy", "pillow")


def _require_consistent(source: Source, packed: PackedModel) -> Images:
    """Return the description of the image store, if store, model and package belong together."""
    for path in (source.model, source.images):
        if not path.exists():
            raise UnfreezeError(f"{path} is missing: run `dvc repro`, or fetch it with `dvc pull`")
    if files.hash_file(source.model) != packed.model_sha256:
        raise UnfreezeError(f"{source.package} was packed from another file than {source.model}: run `dvc repro`")
    images = store.describe(source.images)
    if images.manifest_sha256 != packed.data_sha256 or images.size != packed.size:
        raise UnfreezeError(f"{packed.backbone} was trained on other images than {source.images}: run `dvc repro`")
    return images


def _convert(entry: Format, material: Material, folder: Path, name: str) -> None:
    try:
        # Some show their progress on standard output, where JSON is expected.
        with contextlib.redirect_stdout(sys.stderr):
            entry.write(material, folder)
    except (UnfreezeError, OSError, MemoryError):
        raise
    # Converters raise nearly anything.
    except Exception as error:
        raise UnfreezeError(
            f"{name} cannot be written as {entry.name} ({shorten(error)}): choose other formats"
        ) from error


def _load(entry: Format, folder: Path, name: str, size: int) -> Program:
    try:
        program = Program(folder)
        list(program.run([np.zeros((1, size, size, 3), np.uint8)]))
    # Runtimes raise nearly anything.
    except Exception as error:
        raise UnfreezeError(
            f"{name} as {entry.name}: its runtime cannot load or run it ({shorten(error)}): nothing is kept"
        ) from error
    return program


def _decode(paths: Sequence[Path], packed: PackedModel) -> np.ndarray:
    try:
        return np.stack([decoding.load_rgb(path, packed.size, max_pixels=packed.max_pixels) for path in paths])
    except decoding.Undecodable as error:
        raise UnfreezeError(
            f"image files of the validation fold cannot be read ({error}): fetch them with `dvc pull`"
        ) from error


def _answer(network: Network | Program, pixels: np.ndarray) -> np.ndarray:
    batches = (pixels[start : start + BATCH] for start in range(0, len(pixels), BATCH))
    return np.concatenate([probabilities for probabilities, _ in network.run(batches)])
