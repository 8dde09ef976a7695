"""Backbones of one's own: their settings in `conf/backbones/NAME.yaml`, and the files that decide what they are."""

import re
from pathlib import Path

from unfreeze.errors import UnfreezeError
from unfreeze.settings.backbones import OwnBackbone
from unfreeze.settings.reading import read_yaml

FOLDER = Path("conf/backbones")
REMEDY = "docs/backbones.md explains the settings."


def list_own_backbones() -> list[str]:
    """Return the names of all backbones in `conf/backbones` of the working folder, sorted."""
    return sorted(file.stem for file in FOLDER.glob("*.yaml"))


def read_own_backbone(name: str) -> OwnBackbone | None:
    """Return the settings of a backbone in `conf/backbones`; None if there is no file of that name.

    Raises:
        UnfreezeError: The file holds unknown keys or values out of range, or names a file that does not exist.
    """
    file = FOLDER / f"{name}.yaml"
    if not re.fullmatch(r"\w+", name) or not file.is_file():
        return None
    settings = read_yaml(file, OwnBackbone, remedy=REMEDY)
    if settings.builder.endswith(".keras") and not Path(settings.builder).expanduser().is_file():
        raise UnfreezeError(f"{file}: there is no file {settings.builder}: correct builder, a path from this folder")
    return settings


def find_module_file(builder: str) -> Path | None:
    """Return the file in the working folder that holds the module of `module:function`; None if there is none."""
    file = Path(*builder.partition(":")[0].split(".")).with_suffix(".py")
    return file if file.is_file() else None


def files_of_own_backbone(name: str) -> list[Path]:
    """Return the files whose contents decide what a backbone of one's own is.

    Args:
        name: Name of a backbone, in `conf/backbones` or not.

    Returns:
        Its YAML file, and the `.keras` file or the module's file in the working folder, if it has one; nothing for
        a backbone that is not in `conf/backbones`. An installed module is covered by requirements.lock.
    """
    settings = read_own_backbone(name)
    if settings is None:
        return []
    files = [FOLDER / f"{name}.yaml"]
    if settings.builder.endswith(".keras"):
        files.append(Path(settings.builder).expanduser())
    elif ":" in settings.builder and (module := find_module_file(settings.builder)):
        files.append(module)
    return files
