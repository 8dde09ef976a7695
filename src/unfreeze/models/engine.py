"""Inference: OpenVINO on a CPU where it can convert the model, TensorFlow elsewhere."""

import copy
import functools
import os
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import keras
import numpy as np
import tensorflow as tf

from unfreeze.errors import UnfreezeError, shorten
from unfreeze.images import store
from unfreeze.models import quantized
from unfreeze.models.compiled import Compiled, Hint, fill, refuse_telemetry
from unfreeze.runtime.console import log
from unfreeze.runtime.processor_kind import find_processor_kind
from unfreeze.settings.base import Precision
from unfreeze.settings.training import Extract


class Engine:
    """Runs a frozen model over batches of a fixed size; the same input gives the same bits.

    Args:
        model: A functional model with one input and one output.
        kind: `auto` takes OpenVINO unless there is a GPU or it cannot convert the model.
        precision: Arithmetic of convolutions and products; inputs and outputs are float32.
        batch_size: Rows a call; shorter batches are filled up and cut again, so that a row's result does not
            depend on its neighbours' number. TensorFlow takes half as many, and half again, where memory does not
            suffice.
        quantize: Makes an 8-bit network of OpenVINO's one; None leaves it as it is.
    """

    def __init__(
        self,
        model: keras.Model,
        *,
        kind: Literal["auto", "openvino", "tensorflow"] = "auto",
        precision: Precision = "float32",
        batch_size: int = 8,
        quantize: Callable[[Any], Any] | None = None,
    ) -> None:
        self.batch_size = self._rows_a_call = batch_size
        self.model_input, self.row_shape = model.input, tuple(model.output.shape[1:])
        self._compiled: Compiled | None = None
        self._precision = precision
        self._converted: Any = None
        self._digest: str | None = None
        self._predict: Any = None
        if kind == "openvino" or (kind == "auto" and not _has_gpu()):
            refuse_telemetry()
            try:
                self._converted = convert(model)
                if quantize:
                    self._converted = quantize(self._converted)
                    self._digest = quantized.digest(self._converted)
                self._compiled = self._compile("throughput")
            except Exception as error:  # its converter raises many kinds
                if kind == "openvino":
                    raise
                log.warning("OpenVINO cannot convert %s, TensorFlow runs it instead: %s", model.name, error)
        if self._compiled is None:
            use_precision(precision)
            self._predict = tf.function(lambda rows: model(rows, training=False))

    @property
    def name(self) -> str:
        """The engine in use."""
        return "openvino" if self._compiled is not None else "tensorflow"

    def describe(self) -> dict[str, str]:
        """Return what its outputs depend on besides the model: the engine, and in 8 bits the network and VNNI."""
        if self._digest is None:
            return {"engine": self.name}
        # Without VNNI products are added up in fewer bits.
        return {"engine": self.name, "quantized": self._digest, "vnni": str(find_processor_kind().has_vnni)}

    def resized(self, batch_size: int, *, hint: Hint) -> "Engine":
        """Return the same model for batches of another size; it is not converted again.

        Args:
            batch_size: Rows a call.
            hint: What OpenVINO is set up for.
        """
        other = copy.copy(self)
        other.batch_size = other._rows_a_call = batch_size
        if self._compiled is not None:
            other._compiled = other._compile(hint)
        return other

    def run(self, batches: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        """Yield the outputs of the batches, in order.

        Args:
            batches: Arrays of at most `batch_size` rows.

        Raises:
            UnfreezeError: There is no memory for a single row.
        """
        if self._compiled is None:
            yield from map(self._run_within_memory, batches)
            return
        for count, request in self._compiled.run(batches):
            yield request.get_output_tensor(0).data[:count].copy()

    def _run_within_memory(self, batch: np.ndarray) -> np.ndarray:
        """Return TensorFlow's output; from a lack of memory on, each call takes half as many rows."""
        while True:
            size = self._rows_a_call
            parts = [batch[start : start + size] for start in range(0, len(batch), size)]
            try:
                return np.concatenate([np.asarray(self._predict(fill(part, size)))[: len(part)] for part in parts])
            except tf.errors.ResourceExhaustedError as error:
                if size == 1:
                    raise UnfreezeError("no memory for a single image: set preprocess.image_size lower") from error
                self._rows_a_call = size // 2
                log.warning("out of memory with %d images at once, on with %d", size, self._rows_a_call)

    def _compile(self, hint: Hint) -> Compiled:
        return Compiled(self._converted, batch_size=self.batch_size, precision=self._precision, hint=hint)


def convert(model: keras.Model) -> Any:
    """Return a model as OpenVINO's; the number of rows stays open.

    Args:
        model: A functional model.
    """
    refuse_telemetry()
    import openvino
    from openvino.frontend.tensorflow import utils
    from openvino.frontend.tensorflow.node_decoder import TFGraphNodeDecoder

    # OpenVINO's own deletes a local name through `exec`, which fails from Python 3.13 on (PEP 667).
    utils.get_environment_setup = lambda framework: {"tensorflow": tf.__version__}
    # OpenVINO's own searches all variables, eleven times for each of them.
    variables = functools.cache(_read_variables)
    TFGraphNodeDecoder.get_variable = staticmethod(
        lambda operation: variables(operation.graph).get(operation.outputs[0].name)
    )
    try:
        with warnings.catch_warnings():
            # The converter calls the model with a list of its one input.
            warnings.filterwarnings("ignore", message="The structure of `inputs` doesn't match")
            return openvino.convert_model(model)
    finally:
        # The values would be in memory twice once the variables change.
        variables.cache_clear()


def _read_variables(graph: Any) -> dict[str, Any]:
    """Return the values that a traced function takes from outside, by the name of the graph's tensor.

    Args:
        graph: Of the function.
    """
    variables = {id(variable.handle): variable for variable in graph.variables}
    return {
        inner.name: variables[id(outer)].read_value_no_copy() if outer.dtype == tf.resource else outer
        for outer, inner in getattr(graph, "captures", ())
        if outer.dtype != tf.resource or id(outer) in variables
    }


def make_engine(model: keras.Model, settings: Extract) -> Engine:
    """Return an engine for a model, as the settings of the extraction say."""
    return Engine(model, kind=settings.engine, precision=settings.whole_precision, batch_size=settings.batch_size)


def make_pixel_engine(model: keras.Model, settings: Extract, images: Path, train: np.ndarray) -> Engine:
    """Return an engine for frozen layers from pixels on, the only one that computes in 8 bits.

    Args:
        model: From pixels to where the backbone is cut.
        settings: Those of the extraction.
        images: The image store.
        train: Rows of the training fold in the store: some of them give the ranges of 8-bit numbers.

    Raises:
        UnfreezeError: 8 bits are wanted, and the model cannot be converted or quantized.
    """
    # A cut before the first layer stores pixels, which are bytes.
    if settings.precision != "int8" or not model.count_params():
        return make_engine(model, settings)
    quantized.require_nncf()
    pixels = store.read_pixels(images, quantized.choose_rows(train))
    quantize = functools.partial(quantized.quantize, images=[image[None] for image in pixels])
    try:
        return Engine(model, kind="openvino", batch_size=settings.batch_size, quantize=quantize)
    except UnfreezeError:
        raise
    except Exception as error:  # converters raise many kinds
        raise UnfreezeError(
            f"extract.precision=int8: OpenVINO cannot convert or quantize {model.name} ({shorten(error)}): "
            "set extract.precision=float32"
        ) from error


def use_precision(precision: Precision, *, but: Sequence[str] = ()) -> None:
    """Set the arithmetic of everything that TensorFlow compiles in this process from here on.

    Weights and sums stay float32. TensorFlow's own rewriter decides which operations take part; it does so for
    CPUs only, and a GPU computes in the model's own precision.

    Args:
        precision: float32 or bfloat16.
        but: Types of operations that stay float32, as TensorFlow names them.
    """
    os.environ["TF_AUTO_MIXED_PRECISION_GRAPH_REWRITE_ALLOWLIST_REMOVE"] = ",".join(but)
    tf.config.optimizer.set_experimental_options({"auto_mixed_precision_onednn_bfloat16": precision == "bfloat16"})


def _has_gpu() -> bool:
    return bool(tf.config.list_physical_devices("GPU"))
