"""A packed network on OpenVINO: pixels in, probabilities and features out."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np

from unfreeze.errors import UnfreezeError
from unfreeze.settings.base import Precision

# Names of the network's outputs.
PROBABILITIES, FEATURES = "probabilities", "features"
# Batches in flight keep all cores busy while finished ones are taken away.
REQUESTS = 4


class Network:
    """A compiled network.

    Args:
        path: model.xml; the weights lie beside it.
        batch_size: Rows a call; shorter batches are filled up and cut again.
        precision: Arithmetic of convolutions and products.
        hint: What OpenVINO is set up for: many batches in flight, or one call at a time.

    Raises:
        UnfreezeError: OpenVINO cannot read the files.
    """

    def __init__(
        self,
        path: Path,
        *,
        batch_size: int,
        precision: Precision = "float32",
        hint: Literal["throughput", "latency"] = "throughput",
    ) -> None:
        import openvino

        self.batch_size = batch_size
        core = openvino.Core()
        try:
            model = core.read_model(path)
        except RuntimeError as error:
            raise UnfreezeError(
                f"{path} cannot be read by OpenVINO {openvino.__version__}: `dvc repro` writes it again"
            ) from error
        _, *rest = model.input(0).partial_shape
        model.reshape([batch_size, *(side.get_length() for side in rest)])
        settings = {
            "INFERENCE_PRECISION_HINT": {"float32": "f32", "bfloat16": "bf16"}[precision],
            "PERFORMANCE_HINT": hint.upper(),
        }
        self.compiled: Any = core.compile_model(model, "CPU", settings)

    def run(self, batches: Iterable[np.ndarray]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield probabilities and features of the batches, in order.

        Args:
            batches: uint8 arrays of shape (rows, size, size, 3), at most `batch_size` rows each.

        Yields:
            float64 probabilities of shape (rows, classes), whose rows add up to 1, and float32 features of shape
            (rows, channels).
        """
        requests = [self.compiled.create_infer_request() for _ in range(REQUESTS)]
        running: list[tuple[int, Any]] = []
        for index, batch in enumerate(batches):
            if len(running) == REQUESTS:
                yield _finish(*running.pop(0))
            request = requests[index % REQUESTS]
            request.start_async({0: self._fill(batch)})
            running.append((len(batch), request))
        for count, request in running:
            yield _finish(count, request)

    def _fill(self, batch: np.ndarray) -> np.ndarray:
        missing = self.batch_size - len(batch)
        if not missing:
            return np.ascontiguousarray(batch)
        return np.concatenate([batch, np.zeros((missing, *batch.shape[1:]), batch.dtype)])


def _finish(count: int, request: Any) -> tuple[np.ndarray, np.ndarray]:
    request.wait()
    return read_outputs(count, request)


def read_outputs(count: int, request: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return what `Network.run` yields of a request.

    Args:
        count: How many rows of its batch are images.
        request: An inference request of OpenVINO that has ended.
    """
    probabilities = request.get_tensor(PROBABILITIES).data[:count].astype("float64")
    features = request.get_tensor(FEATURES).data[:count].copy()
    # Float32 rounding leaves rows that add up to 1 only nearly.
    return probabilities / probabilities.sum(axis=1, keepdims=True), features
