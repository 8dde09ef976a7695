"""Draw the learning curve of a probe on cached features: would more images help, and of which class?"""

from dataclasses import dataclass

from unfreeze import files
from unfreeze.evaluation import learning_curve
from unfreeze.features import pooled
from unfreeze.paths import Paths
from unfreeze.runtime.console import log


@dataclass(frozen=True)
class Settings:
    """What the stage uses of params.yaml."""

    seed: int


def run(settings: Settings, paths: Paths, backbone: str) -> None:
    """Write the curve, or null where there is none."""
    images = pooled.read(paths, backbone)
    curve = images and learning_curve.measure_learning_curve(
        images.take_fold("train"), images.take_fold("val"), seed=settings.seed
    )
    files.write_json(paths.learning_curve(backbone), curve and curve.to_json())
    if curve:
        log.info("%s: %s", backbone, curve.text)
        return
    few = f"a class has fewer than {learning_curve.LEAST_IMAGES} different training images"
    log.info("%s has no learning curve: %s", backbone, few if images else "no features are stored, only pixels")
