"""Settings of backbones of one's own, in `conf/backbones/NAME.yaml` of the working folder."""

import re
from pathlib import Path

from unfreeze import files
from unfreeze.settings.backbones import OwnBackbone
from unfreeze.settings.reading import read_yaml

FOLDER = Path("conf/backbones")
REMEDY = "conf/backbones/README.md explains the settings."


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
    if settings.builder.endswith(".keras"):
        network = Path(settings.builder).expanduser()
        named_by = "builder, a path from here"
        files.require_pinned(network, str(settings.sha256), owner=str(file), named_by=named_by, pinned_by="sha256")
    return settings


def find_plugin(builder: str) -> Path | None:
    """Return the file in `plugins/` of the working folder that holds `module:function`; None for an installed module.

    Args:
        builder: Such as `plugins.backbones.tiny:build`, which `plugins/backbones/tiny.py` holds.
    """
    module = builder.partition(":")[0]
    return Path(*module.split(".")).with_suffix(".py") if module.startswith("plugins.") else None
