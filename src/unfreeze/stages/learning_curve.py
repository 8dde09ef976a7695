"""Draw the learning curve of a probe on cached features: would more images help, and of which class?"""

from unfreeze import files
from unfreeze.evaluation import learning_curve
from unfreeze.features import pooled
from unfreeze.paths import Paths
from unfreeze.runtime.console import log
from unfreeze.settings.params import Params

PARAMS = ("seed",)


def run(params: Params, paths: Paths, backbone: str) -> None:
    """Write the curve, or null where there is none."""
    images = pooled.read(paths, backbone)
    curve = images and learning_curve.measured(images.of("train"), images.of("val"), seed=params.seed)
    files.write_json(paths.learning_curve(backbone), curve)
    if curve:
        log.info("%s: %s", backbone, curve["text"])
        return
    few = f"a class has fewer than {learning_curve.LEAST_IMAGES} different training images"
    log.info("%s has no learning curve: %s", backbone, few if images else "no features are stored, only pixels")
