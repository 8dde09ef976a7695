"""Formats that a model can be exported to: one entry each, in a file of its own."""

import importlib.util
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from unfreeze.errors import UnfreezeError
from unfreeze.runtime.plugins import load_entries


@dataclass(frozen=True)
class Material:
    """What a format is written from.

    Args:
        package: Folder of the packed model.
        network: Returns the Keras model, from pixels to the outputs `probabilities` and `features`.
        calibration: Yields uint8 training images, each of shape (1, size, size, 3).
    """

    package: Path
    network: Callable[[], Any]
    calibration: Callable[[], Iterator[np.ndarray]]


@dataclass(frozen=True)
class Format:
    """A format.

    Args:
        name: What users call it.
        artefacts: Names of its files or folders.
        write: Writes them into a folder.
        imports: Lines of predict.py that import the runtime.
        setup: Lines of predict.py that load the artefact from the folder `HERE`.
        run: Expression of predict.py: from `pixels`, uint8 (images, size, size, 3), to outputs by name.
        runtime: The package on PyPI that runs it.
        modules: Further modules that writing or checking needs, of the extra `export`.
        tolerance: Largest difference between its probabilities and those of the Keras model; None where it rounds
            on purpose.
    """

    name: str
    artefacts: tuple[str, ...]
    write: Callable[[Material, Path], None]
    imports: str
    setup: str
    run: str
    runtime: str
    modules: tuple[str, ...] = ()
    tolerance: float | None = 2e-5

    def measure_megabytes(self, folder: Path) -> float:
        """Return the size of the artefact in an exported folder, 10^6 bytes.

        Args:
            folder: The exported folder.
        """
        return sum(_measure_size(folder / artefact) for artefact in self.artefacts) / 1e6


_formats: dict[str, Format] = {}


def register(entry: Format) -> None:
    """Add a format.

    Args:
        entry: The format; one of the same name is replaced.
    """
    _formats[entry.name] = entry


def find_formats(names: str) -> list[Format]:
    """Return formats by name, each once, in the order given.

    Args:
        names: Names with commas between them.

    Raises:
        UnfreezeError: There is no such format, or a package that it needs is not installed.
    """
    load_entries("export_formats", "unfreeze.serving.export.formats")
    chosen = list(dict.fromkeys(name.strip() for name in names.split(",") if name.strip()))
    unknown = [name for name in chosen if name not in _formats]
    if unknown or not chosen:
        raise UnfreezeError(
            f"--format {names}: expected one or more of {', '.join(_formats)}, with commas between them"
        )
    for name in chosen:
        missing = [module for module in _formats[name].modules if not importlib.util.find_spec(module)]
        if missing:
            raise UnfreezeError(
                f"the format {name} needs {', '.join(missing)}, which is not installed: "
                "`.venv/bin/pip install --constraint requirements.lock '.[export]'`"
            )
    return [_formats[name] for name in chosen]


def _measure_size(path: Path) -> int:
    if path.is_dir():
        return sum(item.stat().st_size for item in path.rglob("*") if item.is_file())
    return path.stat().st_size
