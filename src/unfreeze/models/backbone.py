"""The table of backbones, and the model around one: pixels in, class probabilities out.

Each network was trained on pixels scaled its own way, and is of no use on others: EfficientNetV2B0 on cats
and dogs falls from 0.985 to 0.584 if it is fed 1/255. So scaling is a property of the backbone and lives
inside the model, built of standard Keras layers. A study may feed 1/255 all the same, to show that.
"""

from functools import cached_property
from pathlib import Path
from typing import Any

from unfreeze.models.arithmetic import count_macs, count_trained_values
from unfreeze.models.pixels import scale_pixels
from unfreeze.models.table import Row, check_size
from unfreeze.settings.base import Pixels, PixelScaling
from unfreeze.settings.training import UnfreezePoint


def build(row: Row, size: int) -> Any:
    """Build a backbone without its top, with untrained weights.

    Args:
        row: The backbone.
        size: Image side, pixels.

    Returns:
        A functional `keras.Model` from (batch, size, size, 3) float32, scaled as the row says, to features.

    Raises:
        UnfreezeError: The images are too small for it, or a network of one's own cannot be used.
    """
    check_size(row, size)
    if row.builder is None:
        return _build_small_cnn(size)
    from unfreeze.models.builders import build_network

    return build_network(row, size)


class Backbone:
    """A backbone with its scaling, cut where asked; every part shares one set of weights.

    Positions are those of `backbone.operations`; position 0 stands for the pixels as stored, before scaling.

    Args:
        row: Its line in the table.
        size: Image side, pixels.
        pixels: `native` scales pixels as the network was trained; `unit` feeds 1/255 to every network but the CNN
            from scratch.
    """

    def __init__(self, row: Row, size: int, pixels: PixelScaling = "native") -> None:
        self.row = row
        self.size = size
        self.pixels = pixels
        self.base = build(row, size)

    @property
    def scaling(self) -> Pixels:
        """How pixels are scaled before they reach the network."""
        return "unit" if self.pixels == "unit" and self.row.builder else self.row.pixels

    @cached_property
    def end(self) -> int:
        """The position after which only the head is left."""
        return len(self.base.operations) - 1

    @property
    def feature_shape(self) -> tuple[int, ...]:
        """Shape of the output without the batch."""
        return tuple(self.base.output.shape[1:])

    def find_first_trainable(self, point: UnfreezePoint) -> int:
        """Return the index in `base.layers` from which a point trains; `auto` is the row's default."""
        from unfreeze.models import graph

        return graph.find_first_trainable(
            self.base, self.row.unfreeze if point == "auto" else point, self.find_block_starts()
        )

    def find_block_starts(self) -> list[int]:
        """Return the index in `base.layers` of the first layer of every block, from the bottom up."""
        from unfreeze.models import graph

        if not self.row.blocks:
            return graph.find_block_starts(self.base)
        return sorted(graph.find_first_trainable(self.base, name) for name in self.row.blocks)

    def find_cut(self, point: UnfreezePoint) -> int:
        """Return the position up to which everything is frozen at an unfreeze point."""
        from unfreeze.models import graph

        return graph.find_cut(self.base, self.find_first_trainable(point))

    def find_deeper(self, point: UnfreezePoint) -> UnfreezePoint | None:
        """Return the point with twice as many blocks, or `all` where there are no more; None for `all` itself."""
        first = self.find_first_trainable(point)
        if first == 0:
            return None
        starts = self.find_block_starts()
        blocks = 2 * sum(start >= first for start in starts) or 1
        return starts[-blocks] if blocks < len(starts) else "all"

    def count_work(self, position: int) -> tuple[int, int]:
        """Return the multiply-adds of one image behind a position, and the numbers that training moves there."""
        values = sum(map(count_trained_values, self.base.operations[position + 1 :]))
        return self.count_macs(position, self.end), values

    def count_macs(self, start: int, stop: int) -> int:
        """Return the multiply-adds of one image between two positions.

        Args:
            start: Position of what is there already.
            stop: Position of what is computed from it.
        """
        return sum(map(count_macs, self.base.operations[start + 1 : stop + 1]))

    def list_cuts(self, position: int) -> list[tuple[int, Any]]:
        """Return where the backbone can be cut between its first layer and a position, with the operations there.

        Args:
            position: The last of them.
        """
        from unfreeze.models import graph

        points = [point for point in graph.find_articulation_points(self.base) if 0 < point < position]
        return [(point, self.base.operations[point]) for point in [*points, position]]

    def list_candidates(self, points: tuple[UnfreezePoint, ...]) -> dict[str, int | str]:
        """Return the distinct unfreeze points of a search space, by the name of their first trainable layer.

        Args:
            points: Points of any form; `auto` stands for the start of every block, and `none`.

        Returns:
            The points from the top of the backbone down, each as `resolve_point` gives it.
        """
        chosen: list[UnfreezePoint] = []
        for point in points:
            chosen += ["none", *self.find_block_starts()] if point == "auto" else [point]
        chosen.sort(key=self.find_first_trainable, reverse=True)
        return dict(self.resolve_point(point) for point in chosen)

    def resolve_point(self, point: UnfreezePoint) -> tuple[str, int | str]:
        """Return the name of an unfreeze point, and the point as `none`, `all` or an index.

        Names of unnamed layers differ from process to process, so they show a point and do not find it.
        """
        name = self.name_point(point)
        return name, name if name in ("none", "all") else self.find_first_trainable(point)

    def name_point(self, point: UnfreezePoint) -> str:
        """Return an unfreeze point as the first trainable layer's name, or `none` or `all`."""
        first = self.find_first_trainable(point)
        if first == 0:
            return "all"
        return "none" if first == len(self.base.layers) else self.base.layers[first].name

    def load_weights(self, path: Path) -> None:
        """Load weights that were saved at the row's native size; only those of tokens depend on the size.

        Args:
            path: The `.weights.h5` file.
        """
        if self.row.transformer is None or self.size == self.row.native_size:
            self.base.load_weights(path)
            return
        from unfreeze.models.transformer import copy_resized

        native = build(self.row, self.row.native_size)
        native.load_weights(path)
        copy_resized(self.row.transformer, native, self.base)

    def build_part(self, start: int, stop: int) -> Any:
        """Return the model between two positions, in inference mode, as BatchNorm must stay.

        Args:
            start: Position of the input; 0 takes uint8 pixels.
            stop: Position of the output; 0 gives uint8 pixels back.
        """
        import keras

        from unfreeze.models import graph

        if start:
            inputs = keras.Input(self.base.operations[start].output.shape[1:])
            x = inputs
        else:
            inputs = keras.Input((self.size, self.size, 3), dtype="uint8", name="pixels")
            x = scale_pixels(self.scaling, inputs) if stop else inputs
        if stop:
            x = graph.build_segment(self.base, start, stop)(x, training=False)
        return keras.Model(inputs, x)

    def build_classifier(self, head: Any) -> Any:
        """Return the whole model: uint8 RGB pixels in, class probabilities out."""
        import keras

        inputs = keras.Input((self.size, self.size, 3), dtype="uint8", name="pixels")
        features = self.base(scale_pixels(self.scaling, inputs), training=False)
        return keras.Model(inputs, head(features), name=self.row.name)


def find_input(output: Any) -> Any:
    """Return what the layer or nested model that made a symbolic tensor was called with, in the same graph.

    So a whole model is taken apart from its end: the head's input, then the backbone's.

    Args:
        output: The only output of a call with one tensor.
    """
    history = output._keras_history
    (tensor,) = history.operation._inbound_nodes[history.node_index].input_tensors
    return tensor


def take_apart(model: Any) -> tuple[Any, Any]:
    """Return the backbone and the head of a whole model.

    Args:
        model: As `Backbone.build_classifier` makes it.
    """
    return find_input(model.output)._keras_history.operation, model.output._keras_history.operation


def add_features(model: Any) -> Any:
    """Return a whole model with two outputs: its own, and the pooled features that its head takes.

    Args:
        model: From pixels or activations to probabilities.
    """
    import keras

    features = find_input(model.output)
    if len(features.shape) > 2:
        features = keras.ops.mean(features, axis=tuple(range(1, len(features.shape) - 1)))
    return keras.Model(model.input, [model.output, features])


def join_features(model: Any) -> Any:
    """Return a whole model whose rows are its probabilities followed by the pooled features.

    Args:
        model: From pixels or activations to probabilities.
    """
    import keras

    return keras.Model(model.input, keras.ops.concatenate(add_features(model).outputs, axis=-1))


def _build_small_cnn(size: int) -> Any:
    """Four convolutions, each at half the side of the one before: the model one would train without transfer."""
    import keras
    from keras import layers

    inputs = keras.Input((size, size, 3))
    x = layers.Rescaling(1 / 127.5, offset=-1.0)(inputs)
    for block, filters in enumerate((16, 32, 64, 128), start=1):
        # The first stride spares three quarters of the arithmetic; at 160 pixels fine detail remains.
        strides = 2 if block == 1 else 1
        x = layers.Conv2D(
            filters, 3, strides=strides, padding="same", activation="relu",
            # For ReLU: with Glorot's the signal halves from layer to layer (He et al. 2015, arXiv:1502.01852).
            kernel_initializer="he_normal", name=f"block{block}_conv",
        )(x)  # fmt: skip
        x = layers.MaxPooling2D(name=f"block{block}_pool")(x)
    return keras.Model(inputs, x, name="from_scratch")
