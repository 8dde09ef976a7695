"""Draw every PNG from the tables that other stages have written."""

from dataclasses import dataclass

from unfreeze import files
from unfreeze.figures import draw
from unfreeze.paths import Paths
from unfreeze.settings.stage_settings import declare_param


@dataclass(frozen=True)
class Settings:
    """What the stage uses of params.yaml."""

    backbones: tuple[str, ...] = declare_param("study.backbones")


def run(settings: Settings, paths: Paths) -> None:
    """Draw the figures of each backbone, and those of all together."""
    files.remove(paths.pictures)
    for backbone in settings.backbones:
        draw.draw_backbone(paths, backbone)
    draw.draw_study(paths, settings.backbones)
