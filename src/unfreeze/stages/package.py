"""Pack a trained model with all that its use needs: OpenVINO's network, thresholds, and images to compare with."""

from dataclasses import dataclass

from unfreeze import files
from unfreeze.paths import Paths
from unfreeze.records.training import Training
from unfreeze.runtime import console
from unfreeze.settings.base import PixelScaling
from unfreeze.settings.checks import count_pixels
from unfreeze.settings.stage_settings import declare_param
from unfreeze.settings.study import Serve
from unfreeze.settings.training import Extract


@dataclass(frozen=True)
class Settings:
    """What the stage uses of params.yaml."""

    seed: int
    serve: Serve
    pixels: PixelScaling
    extract: Extract
    max_megapixels: float = declare_param("checks.max_megapixels")


def run(settings: Settings, paths: Paths, backbone: str) -> None:
    """Write the package; the stage that scores it logs it, so that MLflow is loaded once for both."""
    console.import_tensorflow()
    from unfreeze.serving import package
    from unfreeze.serving.cached_answers import ActivationSource

    source = package.Source(
        model=paths.model(backbone),
        images=paths.images,
        folds=files.read_csv(paths.split),
        backbone=backbone,
        temperature=Training.read(paths.training(backbone)).temperature,
        max_pixels=count_pixels(settings.max_megapixels),
        seed=settings.seed,
        activations=ActivationSource(
            paths.features(backbone), paths.weights(backbone), paths.split, backbone, settings.pixels
        ),
    )
    packed = package.pack(source, paths.packed(backbone), settings.serve, settings.extract)
    console.log.info(
        "%s: packed; %.0f%% of %d held-back images are accepted at an error rate of %g",
        backbone,
        100 * packed.unsure.accepted,
        packed.unsure.images,
        packed.unsure.error_rate,
    )
