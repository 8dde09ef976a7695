"""What a saved model says of stored images, run from pixels: the cache of features has no part in it."""

from pathlib import Path

import numpy as np

from unfreeze.evaluation.scores import require_probabilities
from unfreeze.images import store
from unfreeze.models import keras_file
from unfreeze.models.backbone import join_features
from unfreeze.models.engine import make_engine
from unfreeze.runtime import console
from unfreeze.settings.training import Extract


class Scorer:
    """A saved model on the engine that the settings of the extraction name.

    Args:
        path: The `.keras` file.
        images: The image store.
        settings: Engine, precision and batch size.
        features: Whether the engine's rows hold the pooled features behind the probabilities.
    """

    def __init__(self, path: Path, images: Path, settings: Extract, *, features: bool = False) -> None:
        self.model = keras_file.load(path)
        self.images = images
        self.engine = make_engine(join_features(self.model) if features else self.model, settings)

    def predict(self, rows: np.ndarray, what: str) -> np.ndarray:
        """Return the probabilities of each class.

        Args:
            rows: Rows of the store, ascending.
            what: What is scored, for the progress shown and for errors.

        Returns:
            float64 array of shape (images, classes); rows add up to 1.

        Raises:
            UnfreezeError: The model gives numbers that are no probabilities.
        """
        batches = store.read_batches(self.images, rows, self.engine.batch_size)
        found = []
        with console.progress(f"{what} ({self.engine.name})", len(rows)) as advance:
            for part in self.engine.run(batches):
                found.append(part[:, : self.model.output.shape[-1]])
                advance(len(part))
        return normalize(np.concatenate(found), what)


def normalize(outputs: np.ndarray, what: str) -> np.ndarray:
    """Return the outputs of a network as probabilities.

    Args:
        outputs: Shape (images, classes).
        what: Whose they are, for errors.

    Returns:
        float64 array of the same shape; rows add up to 1.

    Raises:
        UnfreezeError: They are no probabilities.
    """
    probabilities = outputs.astype("float64")
    require_probabilities(probabilities, what)
    # Float32 rounding leaves rows that add up to 1 only nearly; scikit-learn warns of those.
    normalized: np.ndarray = probabilities / probabilities.sum(axis=1, keepdims=True)
    return normalized
