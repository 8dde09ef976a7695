"""A network that OpenVINO has compiled for one size of batch, and asynchronous requests to it."""

import importlib.util
from collections.abc import Iterable, Iterator
from typing import Any, Literal

import numpy as np

from unfreeze.errors import UnfreezeError
from unfreeze.runtime.processors import count_processors
from unfreeze.settings.base import Precision

# What OpenVINO is set up for: many batches in flight, or one call at a time.
Hint = Literal["throughput", "latency"]
# Batches in flight keep all cores busy while finished ones are taken away.
REQUESTS = 4


class Compiled:
    """Runs a network over batches of a fixed size; shorter ones are filled up with zeros.

    A row's result then depends neither on its neighbours nor on their number.

    Args:
        model: OpenVINO's model with one input; the number of its rows is set here.
        batch_size: Rows a call.
        precision: Arithmetic of convolutions and products.
        hint: What it is set up for.
    """

    def __init__(self, model: Any, *, batch_size: int, precision: Precision, hint: Hint) -> None:
        import openvino

        self.batch_size = batch_size
        _, *rest = model.input(0).partial_shape
        model.reshape([batch_size, *(side.get_length() for side in rest)])
        settings = {
            "INFERENCE_PRECISION_HINT": {"float32": "f32", "bfloat16": "bf16"}[precision],
            "PERFORMANCE_HINT": hint.upper(),
            # OpenVINO knows no quota of a control group, and its threads would wait for each other.
            "INFERENCE_NUM_THREADS": count_processors(),
        }
        self.network: Any = openvino.Core().compile_model(model, "CPU", settings)

    def run(self, batches: Iterable[np.ndarray]) -> Iterator[tuple[int, Any]]:
        """Yield the finished requests of the batches, in order.

        Args:
            batches: Arrays of at most `batch_size` rows.

        Yields:
            The number of the batch's own rows, and OpenVINO's request: its outputs are overwritten as soon as the
            next one is asked for.
        """
        requests = [self.network.create_infer_request() for _ in range(REQUESTS)]
        running: list[tuple[int, Any]] = []
        for index, batch in enumerate(batches):
            if len(running) == REQUESTS:
                yield _wait(*running.pop(0))
            request = requests[index % REQUESTS]
            request.start_async({0: fill(batch, self.batch_size)})
            running.append((len(batch), request))
        for count, request in running:
            yield _wait(count, request)


def refuse_telemetry() -> None:
    """Refuse to work where OpenVINO would report what it does.

    Raises:
        UnfreezeError: The package that reports is installed.
    """
    # OpenVINO's converter and NNCF send what they convert with this package, and without it work as well.
    if importlib.util.find_spec("openvino_telemetry"):
        raise UnfreezeError(
            "the package openvino-telemetry is installed, by which OpenVINO reports each conversion to its makers; "
            "requirements.lock leaves it out: `.venv/bin/python -m pip uninstall --yes openvino-telemetry`"
        )


def fill(batch: np.ndarray, size: int) -> np.ndarray:
    """Return a batch with rows of zeros after its own, up to a size."""
    missing = size - len(batch)
    if not missing:
        return np.ascontiguousarray(batch)
    return np.concatenate([batch, np.zeros((missing, *batch.shape[1:]), batch.dtype)])


def _wait(count: int, request: Any) -> tuple[int, Any]:
    request.wait()
    return count, request
