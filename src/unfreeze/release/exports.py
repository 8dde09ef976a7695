"""The exported format of a model that asks to become the champion."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from unfreeze import files
from unfreeze.errors import UnfreezeError
from unfreeze.paths import Paths
from unfreeze.records.exported_model import ExportedModel
from unfreeze.runtime import console
from unfreeze.runtime.console import log
from unfreeze.serving.classifier import MODEL
from unfreeze.serving.export import repack, write
from unfreeze.serving.export.registry import Format, find_formats
from unfreeze.serving.export.write import Source
from unfreeze.settings.params import Params
from unfreeze.tracking.models import Variant


@contextmanager
def open_variant(paths: Paths, backbone: str, name: str) -> Iterator[Variant]:
    """Yield an exported format of a backbone, with the package that services get with it.

    Of OpenVINO's formats that is a package with the exported network. No package holds another format: services then
    answer with the packed model, from which the exported one differs by no more than `unfreeze export` allows.

    Args:
        paths: The checkout.
        backbone: The backbone.
        name: Name of the format.

    Raises:
        UnfreezeError: There is no such format, or no export of this model in it.
    """
    entry = find_entry(name)
    folder = paths.exported(backbone) / entry.name
    require_export(paths, backbone, folder)
    if not repack.can_repack(entry):
        yield Variant(entry.name, paths.packed(backbone), folder)
        return
    with tempfile.TemporaryDirectory(prefix="unfreeze-") as scratch:
        target = Path(scratch) / backbone
        folds = files.read_csv(paths.split)
        repack.repack(paths.packed(backbone), folder, entry, target, images=paths.images, folds=folds)
        yield Variant(entry.name, target, None)


def ensure_export(params: Params, paths: Paths, backbone: str, name: str) -> None:
    """Export a backbone, unless the folder of the format holds an export of its model already.

    The table of formats in metrics/export/ stays as it is: the report that shows it is made before the judgement.

    Args:
        params: All of params.yaml.
        paths: The checkout.
        backbone: The backbone.
        name: Name of the format.

    Raises:
        UnfreezeError: There is no such format, or the model cannot be written in it or fails a gate.
    """
    entry = find_entry(name)
    try:
        require_export(paths, backbone, paths.exported(backbone) / entry.name)
    except UnfreezeError as error:
        log.info("%s is exported as %s (%s)", backbone, entry.name, str(error).partition(":")[0])
        console.import_tensorflow()
        source = Source.read(params, paths, backbone)
        write.export(source, [entry], paths.exported(backbone))


def find_entry(name: str) -> Format:
    """Return one format by its name.

    Raises:
        UnfreezeError: There is none, there are several, or a package that it needs is not installed.
    """
    chosen = find_formats(name)
    if len(chosen) > 1:
        raise UnfreezeError(f"--format {name}: one model is judged at a time, name one format")
    return chosen[0]


def require_export(paths: Paths, backbone: str, folder: Path) -> None:
    """Find out whether a folder holds a whole export of a backbone's model that has passed all gates.

    Args:
        paths: The checkout.
        backbone: The backbone.
        folder: The folder, named after its format.

    Raises:
        UnfreezeError: It does not.
    """
    remedy = f"run `unfreeze export {backbone} --format {folder.name}`"
    shown = folder.relative_to(paths.root)
    if not (folder / MODEL).exists():
        raise UnfreezeError(f"there is no export in {shown}: {remedy}")
    model = ExportedModel.read(folder / MODEL)
    if model.model_sha256 != files.hash_file(paths.model(backbone)):
        raise UnfreezeError(f"{shown} was exported from another model than models/{backbone}.keras: {remedy}")
    digests = model.artefact_sha256.items()
    others = [name for name, digest in digests if _hash(folder / name) != digest]
    if model.parity is None or others:
        what = f"{', '.join(others)} differ from its model.json" if others else "it has not passed its gates"
        raise UnfreezeError(f"{shown} is not what was exported ({what}): {remedy}")


def _hash(path: Path) -> str | None:
    return files.hash_file(path) if path.is_file() else None
