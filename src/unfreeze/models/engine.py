"""Inference: OpenVINO on a CPU where it can convert the model, TensorFlow elsewhere."""

import sys
import warnings
from collections.abc import Iterable, Iterator
from typing import Any, Literal

import keras
import numpy as np

from unfreeze.console import log

# Batches in flight keep all cores busy while finished ones are taken away.
REQUESTS = 4


class Engine:
    """Runs a frozen model over batches of a fixed size; the same input gives the same bits.

    Args:
        model: A functional model with one input and one output.
        kind: `auto` takes OpenVINO unless there is a GPU or it cannot convert the model.
        precision: Arithmetic. TensorFlow computes in the model's own.
        batch_size: Rows a call; shorter batches are filled up and cut again, so that a row's result does not
            depend on its neighbours' number.
    """

    def __init__(
        self,
        model: keras.Model,
        *,
        kind: Literal["auto", "openvino", "tensorflow"] = "auto",
        precision: Literal["float32", "bfloat16"] = "float32",
        batch_size: int = 8,
    ) -> None:
        self.model = model
        self.batch_size = batch_size
        self.compiled: Any = None
        if kind == "openvino" or (kind == "auto" and not _has_gpu()):
            try:
                self.compiled = _compile(model, precision, batch_size)
            except Exception as error:  # its converter raises many kinds
                if kind == "openvino":
                    raise
                log.warning("OpenVINO cannot convert %s, TensorFlow runs it instead: %s", model.name, error)

    @property
    def name(self) -> str:
        """The engine in use."""
        return "openvino" if self.compiled is not None else "tensorflow"

    def run(self, batches: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        """Yield the outputs of the batches, in order.

        Args:
            batches: Arrays of at most `batch_size` rows.
        """
        filled = ((len(batch), self._fill(batch)) for batch in batches)
        if self.compiled is None:
            for count, batch in filled:
                yield np.asarray(self.model(batch, training=False))[:count]
            return
        requests = [self.compiled.create_infer_request() for _ in range(REQUESTS)]
        running: list[tuple[int, Any]] = []
        for index, (count, batch) in enumerate(filled):
            if len(running) == REQUESTS:
                yield _finish(*running.pop(0))
            request = requests[index % REQUESTS]
            request.start_async({0: batch})
            running.append((count, request))
        for count, request in running:
            yield _finish(count, request)

    def run_array(self, rows: Any) -> np.ndarray:
        """Return the outputs of an array, or of anything that slices like one."""
        starts = range(0, len(rows), self.batch_size)
        return np.concatenate(list(self.run(rows[start : start + self.batch_size] for start in starts)))

    def _fill(self, batch: np.ndarray) -> np.ndarray:
        missing = self.batch_size - len(batch)
        if not missing:
            return np.ascontiguousarray(batch)
        return np.concatenate([batch, np.zeros((missing, *batch.shape[1:]), batch.dtype)])


def _finish(count: int, request: Any) -> np.ndarray:
    request.wait()
    return request.get_output_tensor(0).data[:count].copy()


def _compile(model: keras.Model, precision: str, batch_size: int) -> Any:
    # Without the telemetry package OpenVINO's converter uses its own silent stub: nothing is reported.
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    import openvino

    with warnings.catch_warnings():
        # The converter calls the model with a list of its one input.
        warnings.filterwarnings("ignore", message="The structure of `inputs` doesn't match")
        converted = openvino.convert_model(model)
    converted.reshape([batch_size, *model.inputs[0].shape[1:]])
    settings = {
        "INFERENCE_PRECISION_HINT": {"float32": "f32", "bfloat16": "bf16"}[precision],
        "PERFORMANCE_HINT": "THROUGHPUT",
    }
    return openvino.Core().compile_model(converted, "CPU", settings)


def _has_gpu() -> bool:
    import tensorflow as tf

    return bool(tf.config.list_physical_devices("GPU"))
