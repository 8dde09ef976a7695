"""Grad-CAM overlays of predicted images; TensorFlow is loaded when the first one is made."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from unfreeze import files
from unfreeze.errors import UnfreezeError
from unfreeze.records.packed_model import PackedModel
from unfreeze.runtime import console
from unfreeze.serving import locate
from unfreeze.serving.inputs import Input
from unfreeze.serving.loading import Prediction
from unfreeze.serving.predictions import to_text

if TYPE_CHECKING:
    from unfreeze.models.explanations import Explainer

# Characters of an image's name in its overlay's name.
MOST_OF_NAME = 80


def find_network(package: Path, model: PackedModel, *further: Path) -> Path:
    """Return the `.keras` file that a package was made from; OpenVINO's network has no gradients.

    Args:
        package: The package's folder.
        model: What it says of itself.
        further: As `locate.search_network` takes it.

    Raises:
        UnfreezeError: There is none with the right digest.
    """
    if network := locate.search_network(package, model, *further):
        return network
    # A package is models/packed/BACKBONE, the file models/BACKBONE.keras.
    places = [*further, package.absolute().parents[1] / f"{model.backbone}.keras"]
    there = [*filter(Path.is_file, places)]
    found = f"{there[0]} has another digest" if there else f"there is no {places[0]}"
    raise UnfreezeError(
        f"--explain needs the network that {package} was packed from, and {found}: put the file with sha256 "
        f"{model.model_sha256:.12} there (`dvc checkout`, `dvc pull` or `dvc repro` bring it)"
    )


class Heatmaps:
    """Writes an overlay for each image that could be read.

    Args:
        folder: Where they go.
        network: The `.keras` file.
    """

    def __init__(self, folder: Path, network: Path) -> None:
        self._folder, self._network = folder, network
        self._explainer: Explainer | None = None

    def find(self, number: int, found: Input) -> Path:
        """Return an image's overlay: its place in the input, from 1, and its own name.

        Args:
            number: Its place, from 0.
            found: The image.
        """
        stem = to_text(found.source).rpartition("/")[2].partition("?")[0].rpartition(".")[0]
        return self._folder / f"{number + 1:06d}_{stem[:MOST_OF_NAME].replace(chr(92), '_')}.png"

    def write(self, predictions: list[Prediction]) -> None:
        """Write the overlays of some images, each whole or not at all."""
        read = [prediction for prediction in predictions if prediction.probabilities is not None]
        if not read:
            return
        explainer = self._load()
        from unfreeze.models.explanations import overlay

        pixels = np.stack([prediction.loaded.pixels for prediction in read if prediction.loaded.pixels is not None])
        classes = np.array([np.argmax(prediction.probabilities) for prediction in read])  # type: ignore[arg-type]
        heat = explainer.explain(pixels, classes).heat
        for prediction, picture in zip(read, overlay(pixels, heat), strict=True):
            with files.atomic(self.find(prediction.loaded.number, prediction.loaded.input)) as partial:
                Image.fromarray(picture).save(partial)

    def _load(self) -> "Explainer":
        if self._explainer is None:
            console.import_tensorflow()
            from unfreeze.models import keras_file
            from unfreeze.models.explanations import Explainer

            self._explainer = Explainer(keras_file.load(self._network))
        return self._explainer
