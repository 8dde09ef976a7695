"""A packed network on OpenVINO: pixels in, probabilities and features out."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from unfreeze.errors import UnfreezeError
from unfreeze.models.compiled import Compiled, Hint
from unfreeze.settings.base import Precision

# Names of the network's outputs.
PROBABILITIES, FEATURES = "probabilities", "features"


class Network:
    """A compiled network.

    Args:
        path: model.xml; the weights lie beside it.
        batch_size: Rows a call; shorter batches are filled up and cut again.
        precision: Arithmetic of convolutions and products.
        hint: What OpenVINO is set up for.

    Raises:
        UnfreezeError: OpenVINO cannot read the files.
    """

    def __init__(
        self,
        path: Path,
        *,
        batch_size: int,
        precision: Precision = "float32",
        hint: Hint = "throughput",
    ) -> None:
        import openvino

        try:
            model = openvino.Core().read_model(path)
        except RuntimeError as error:
            raise UnfreezeError(
                f"{path} cannot be read by OpenVINO {openvino.__version__}: `dvc repro` writes it again"
            ) from error
        self.batch_size = batch_size
        self._compiled = Compiled(model, batch_size=batch_size, precision=precision, hint=hint)

    @property
    def compiled(self) -> Any:
        """OpenVINO's compiled model."""
        return self._compiled.network

    def run(self, batches: Iterable[np.ndarray]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield probabilities and features of the batches, in order.

        Args:
            batches: uint8 arrays of shape (rows, size, size, 3), at most `batch_size` rows each.

        Yields:
            float64 probabilities of shape (rows, classes), whose rows add up to 1, and float32 features of shape
            (rows, channels).
        """
        for count, request in self._compiled.run(batches):
            yield read_outputs(count, request)


def read_outputs(count: int, request: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return what `Network.run` yields of a request.

    Args:
        count: How many rows of its batch are images.
        request: An inference request of OpenVINO that has ended.
    """
    probabilities = request.get_tensor(PROBABILITIES).data[:count]
    features = request.get_tensor(FEATURES).data[:count].copy()
    return normalize(probabilities), features


def normalize(probabilities: np.ndarray) -> np.ndarray:
    """Return float64 rows that add up to 1: float32 rounding leaves them adding up to 1 only nearly."""
    exact: np.ndarray = probabilities.astype("float64")
    exact /= exact.sum(axis=1, keepdims=True)
    return exact
