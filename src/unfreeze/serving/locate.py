"""Finds packed models in a checkout, by the name of their backbone or by their folder."""

from dataclasses import dataclass
from pathlib import Path

from unfreeze import files
from unfreeze.errors import UnfreezeError
from unfreeze.paths import Paths
from unfreeze.records import verdict
from unfreeze.records.packed_model import PackedModel

REGISTERED = "models:/"


@dataclass(frozen=True)
class Located:
    """Where a model's package lies.

    Args:
        folder: The package.
        name: What the user may call it: the backbone, the folder, or `models:/NAME/VERSION`.
        version: Number of its version in the registry; None for a model that was not taken from there.
        note: What the user should know, such as that the registry is down and a kept copy answers; empty if nothing.
    """

    folder: Path
    name: str
    version: str | None = None
    note: str = ""


def find_package(paths: Paths, name: str | None) -> Located:
    """Return the package of a backbone of the study, or of a folder; by default that of the study's best model.

    Args:
        paths: The checkout.
        name: A backbone, a folder that holds a package, or the `.keras` file of a backbone of the study.

    Raises:
        UnfreezeError: There is none.
    """
    if name is None:
        if not paths.verdict.exists():
            raise UnfreezeError("there is no model yet: run `make repro`, or name one with --model")
        name = verdict.read(paths).verdict.best
    if paths.packed(name).is_dir():
        return Located(paths.packed(name), name)
    path = Path(name)
    if path.suffix == ".keras" and path.resolve() == paths.model(path.stem).resolve():
        return find_package(paths, path.stem)
    if path.is_dir():
        return Located(path, name)
    packed = sorted(folder.name for folder in paths.packed("x").parent.glob("*") if folder.is_dir())
    known = f"this study has {', '.join(packed)}" if packed else "there is no model yet, run `make repro`"
    raise UnfreezeError(
        f"no model {name}: {known}; expected a backbone, a folder that holds model.json and the files of a packed "
        f"model, or {REGISTERED}NAME@ALIAS"
    )


def search_network(package: Path, model: PackedModel, *further: Path) -> Path | None:
    """Return the `.keras` file that a package was made from; None if it is not found.

    It is known by its digest. Searched are the files named here, the package, and the two folders above it: a package
    is models/packed/BACKBONE, its network models/BACKBONE.keras.

    Args:
        package: The package's folder.
        model: What it says of itself.
        further: Files to try first.
    """
    folder = package.absolute()
    near = [path for place in (folder, *folder.parents[:2]) for path in sorted(place.glob("*.keras"))]
    # Hashing takes a while: the likely ones first.
    near.sort(key=lambda path: path.stem != model.backbone)
    candidates = dict.fromkeys(path for path in (*further, *near) if path.is_file())
    return next((path for path in candidates if files.hash_file(path) == model.model_sha256), None)
