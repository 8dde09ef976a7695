"""Settings of backbones of one's own, in `conf/backbones/NAME.yaml` of the working folder."""

import re
from pathlib import Path

from unfreeze import files
from unfreeze.errors import UnfreezeError
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
        _require_pinned(file, settings)
    return settings


def find_plugin(builder: str) -> Path | None:
    """Return the file in `plugins/` of the working folder that holds `module:function`; None for an installed module.

    Args:
        builder: Such as `plugins.backbones.tiny:build`, which `plugins/backbones/tiny.py` holds.
    """
    module = builder.partition(":")[0]
    return Path(*module.split(".")).with_suffix(".py") if module.startswith("plugins.") else None


def _require_pinned(file: Path, settings: OwnBackbone) -> None:
    """Refuse a `.keras` file that is not there, or has another digest than the settings say."""
    network = Path(settings.builder).expanduser()
    if not network.is_file():
        raise UnfreezeError(f"{file}: there is no file {network}: correct builder, a path from here")
    received = files.hash_file(network)
    if received != settings.sha256:
        raise UnfreezeError(
            f"{file}: {network} has sha256 {received}, expected {settings.sha256}: if it is the right file, "
            f"set sha256: {received}"
        )
