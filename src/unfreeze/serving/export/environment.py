"""Environments that hold some packages and nothing else, made of those that are installed here."""

import importlib.util
import subprocess
import venv
from collections.abc import Iterable, Iterator
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import NormalizedName, canonicalize_name


def find_packages(names: Iterable[str]) -> dict[str, str]:
    """Return packages with all that they need, as they are installed here: versions by name.

    Needs that are not installed are left out: requirements.lock leaves out what only reports to a maker.

    Args:
        names: Names of packages, as on PyPI.

    Raises:
        PackageNotFoundError: One of the named packages is not installed.
    """
    found = {canonicalize_name(name): metadata.version(name) for name in names}
    waiting = list(found)
    while waiting:
        for name in _list_needs(waiting.pop()):
            try:
                version = metadata.version(name)
            except metadata.PackageNotFoundError:
                continue
            if name not in found:
                found[name] = version
                waiting.append(name)
    return {str(name): found[name] for name in sorted(found)}


def make_environment(folder: Path, packages: Iterable[str]) -> Path:
    """Make an environment whose packages are links to the files that are installed here.

    So it needs no package index, has the locked versions, and takes a second.

    Args:
        folder: The environment; it must not be there yet.
        packages: Their names.

    Returns:
        Its Python.
    """
    venv.EnvBuilder(symlinks=True).create(folder)
    (site,) = folder.glob("lib/python*/site-packages")
    for name in packages:
        for source, target in _list_files(name):
            (site / target).parent.mkdir(parents=True, exist_ok=True)
            (site / target).symlink_to(source)
    return folder / "bin/python"


def run_isolated(python: Path, arguments: Iterable[str], *, seconds: float) -> "subprocess.CompletedProcess[str]":
    """Run a Python of an environment, without variables, user packages or the working folder.

    Args:
        python: The program.
        arguments: Its arguments.
        seconds: After which it is ended.
    """
    return subprocess.run(
        [str(python), "-I", *arguments],
        env={"PATH": "", "TF_CPP_MIN_LOG_LEVEL": "3", "LC_ALL": "C.UTF-8"},
        cwd=python.parent,
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
        timeout=seconds,
    )


def _list_needs(name: str) -> Iterator[NormalizedName]:
    for text in metadata.requires(name) or []:
        need = Requirement(text)
        if need.marker is None or need.marker.evaluate({"extra": ""}):
            yield canonicalize_name(need.name)


def _list_files(name: str) -> Iterator[tuple[Path, Path]]:
    """Yield the files of a package, and their places in an environment; programs are left out."""
    for file in metadata.files(name) or []:
        source = Path(str(file.locate()))
        if ".." in file.parts or "__pycache__" in file.parts or not source.exists():
            continue
        yield source, Path(file)
        if source.suffix == ".py":
            # Compiling TensorFlow takes longer than all else.
            cached = Path(importlib.util.cache_from_source(str(source)))
            if cached.exists():
                yield cached, Path(file).parent / "__pycache__" / cached.name
