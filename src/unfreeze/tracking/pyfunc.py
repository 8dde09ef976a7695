"""A packed model as a python_function of MLflow: image files or pixels in, class names and probabilities out.

Each logged model carries a copy of this module and of those that it imports (`shipped_code.py`), so it imports
nothing that is not in the model's requirements.
"""

import base64
import binascii
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pandas as pd

from unfreeze.images.decoding import Undecodable
from unfreeze.serving.classifier import Classifier

# Folder of the package in the logged model.
PACKED = "packed"
# Name of the input, and of the output's columns: `p_CLASS` holds the probability of a class.
IMAGE, PREDICTED, ACCEPTED, REASON = "image", "predicted", "accepted", "reason"
PROBABILITY = "p_"
EXPECTED = (
    ": expected a column `image` of image files, as base64 text or bytes, or an array of pixels 0..255, RGB, "
    "of shape (n, {size}, {size}, 3)"
)


class PackedFunction:
    """What `mlflow.pyfunc.load_model` returns, without MLflow's own wrapper.

    Args:
        folder: The package.

    Raises:
        UnfreezeError: The package is damaged.
    """

    def __init__(self, folder: Path) -> None:
        # Requests hold one image as a rule, and shorter batches are filled up.
        self.classifier = Classifier(folder, batch_size=1)
        self.classifier.try_example()

    def predict(self, model_input: Any, params: dict[str, Any] | None = None) -> pd.DataFrame:  # noqa: ARG002
        """Name the classes of images.

        Args:
            model_input: A table or a mapping with `image`: image files as bytes or base64 text. Or pixels, 0..255,
                RGB, shape (n, size, size, 3), as an array or as `image` of a mapping.
            params: Unused; MLflow hands it over.

        Returns:
            One row an image: `predicted`, `p_CLASS` with the calibrated probability of each class, `accepted`, and
            `reason`, which is empty where the answer is accepted.

        Raises:
            MlflowException: It is no image, or the pixels are not 0..255; a server answers with status 400.
        """
        values = model_input
        if isinstance(model_input, (pd.DataFrame, dict)):
            if IMAGE not in model_input:
                self._refuse(f"there is no `{IMAGE}`")
            values = model_input[IMAGE]
        images = np.asarray(values)
        if images.dtype == object and images.ndim > 1:
            # Numbers from JSON, under MLflow's type for inputs of any shape.
            images = np.array(images.tolist())
        batches = self._check_pixels(images) if images.dtype.kind in "iufb" else self._decode(list(images.ravel()))
        rows = [row for answers in self.classifier.classify(batches) for row in self._tell(answers)]
        return pd.DataFrame(rows, columns=self._columns)

    @property
    def _columns(self) -> list[str]:
        return [PREDICTED, *(f"{PROBABILITY}{name}" for name in self.classifier.classes), ACCEPTED, REASON]

    def _tell(self, answers: Any) -> Iterator[list[Any]]:
        for probabilities, reason in zip(answers.probabilities, answers.reasons, strict=True):
            name = self.classifier.classes[int(probabilities.argmax())]
            yield [name, *probabilities.tolist(), not reason, reason]

    def _check_pixels(self, pixels: np.ndarray) -> Iterator[np.ndarray]:
        """Return pixels one image at a time, after a look at all of them."""
        size = self.classifier.model.size
        if pixels.shape[1:] != (size, size, 3):
            self._refuse(f"pixels have shape {pixels.shape}")
        if pixels.size:
            low, high = pixels.min(), pixels.max()
            # Not a number is neither.
            if not (low >= 0 and high <= 255):
                self._refuse(f"pixels lie in {low:g}..{high:g}")
            # Most networks of Keras are fed such pixels by hand; here they would pass for a black image.
            if high <= 1:
                self._refuse(f"all pixels lie in {low:g}..{high:g}, as if they had been divided by 255")
            if pixels.dtype.kind == "f" and (pixels != np.floor(pixels)).any():
                self._refuse("pixels are no whole numbers")
        return (image[None] for image in pixels.astype(np.uint8))

    def _decode(self, values: list[Any]) -> Iterator[np.ndarray]:
        """Yield the images that files become, one at a time."""
        for number, value in enumerate(values):
            # MLflow's server makes an array without a dimension of each of JSON's `instances`.
            text = value.item() if isinstance(value, np.ndarray) and value.ndim == 0 else value
            data = self._read_bytes(number, text)
            try:
                yield self.classifier.load(data)[None]
            except Undecodable as error:
                self._refuse(f"image {number} cannot be read: {error}", "")

    def _read_bytes(self, number: int, value: Any) -> bytes:
        if isinstance(value, (bytes, bytearray)):
            return bytes(value)
        if not isinstance(value, str):
            self._refuse(f"image {number} is of type {type(value).__name__}")
        # Browsers put a type in front, and mail breaks lines.
        text = "".join(value.partition(",")[2].split() if value.startswith("data:") else value.split())
        try:
            return base64.b64decode(text, validate=True)
        except (binascii.Error, ValueError) as error:
            self._refuse(f"image {number} is not base64 ({error})")

    def _refuse(self, what: str, expected: str = EXPECTED) -> NoReturn:
        from mlflow.exceptions import MlflowException

        raise MlflowException.invalid_parameter_value(what + expected.format(size=self.classifier.model.size))


def _load_pyfunc(path: str) -> PackedFunction:
    """Load the package in the folder of a logged model; MLflow calls it by this name."""
    return PackedFunction(Path(path) / PACKED)
