"""The table of backbones, and the model around one: pixels in, class probabilities out.

Each network was trained on pixels scaled its own way, and is of no use on others: EfficientNetV2B0 on cats
and dogs falls from 0.985 to 0.584 if it is fed 1/255. So scaling is a property of the backbone and lives
inside the model, built of standard Keras layers. A study may feed 1/255 all the same, to show that.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

from unfreeze.errors import UnfreezeError
from unfreeze.params import BlockCount, DropoutSpec, HeadLayer, PixelScaling, UnfreezePoint

Pixels = Literal["inside", "tf", "caffe", "torch", "unit"]

# Means and deviations of the ImageNet training images, RGB, as keras.applications uses them: caffe's on
# 0..255, torch's on 0..1.
CAFFE_MEAN = (123.68, 116.779, 103.939)
TORCH_MEAN = (0.485, 0.456, 0.406)
TORCH_STD = (0.229, 0.224, 0.225)

POOLED_HEAD: tuple[HeadLayer, ...] = ("global_average_pooling", DropoutSpec(dropout=0.2))


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Args:
        name: The name used in params.yaml and in file names.
        builder: Name of the function in keras.applications, or None for the CNN from scratch.
        pixels: What the network expects: `inside` (0..255, it scales itself), `tf` (-1..1), `caffe` (BGR
            without the mean) or `torch` (RGB, mean and deviation removed).
        smallest_size: Smallest image side, pixels.
        native_size: Image side it was trained on, pixels.
        unfreeze: Default unfreeze point. For the course report's six it is the report's first active layer.
        head: Default layers between backbone and last dense layer.
    """

    name: str
    builder: str | None
    pixels: Pixels
    smallest_size: int
    native_size: int
    unfreeze: UnfreezePoint = field(default_factory=lambda: BlockCount(blocks=1))
    head: tuple[HeadLayer, ...] = POOLED_HEAD


TABLE = {
    row.name: row
    for row in (
        Row("efficientnetb0", "EfficientNetB0", "inside", 32, 224, 160),
        Row("inceptionv3", "InceptionV3", "tf", 75, 299, 248),
        Row("inceptionresnetv2", "InceptionResNetV2", "tf", 75, 299, 630),
        Row("resnet50", "ResNet50", "caffe", 32, 224, 143),
        Row("vgg16", "VGG16", "caffe", 32, 224, 15),
        Row("xception", "Xception", "tf", 71, 299, 126),
        Row("vgg19", "VGG19", "caffe", 32, 224),
        Row("mobilenet", "MobileNet", "tf", 32, 224),
        Row("mobilenetv2", "MobileNetV2", "tf", 32, 224),
        Row("efficientnetv2b0", "EfficientNetV2B0", "inside", 32, 224),
        Row("from_scratch", None, "inside", 32, 160, "all"),
    )
}


def row_of(name: str) -> Row:
    """Return the row of a backbone.

    Names outside the table are looked up among the builders of keras.applications; how they scale pixels is
    read off their own `preprocess_input`.

    Args:
        name: A name of the table or of a builder, in any case.

    Returns:
        The row.

    Raises:
        UnfreezeError: There is no such backbone.
    """
    if name in TABLE:
        return TABLE[name]
    import keras

    builders = {
        key.lower(): key
        for key in dir(keras.applications)
        if key[0].isupper() and callable(getattr(keras.applications, key))
    }
    if name.lower() not in builders:
        raise UnfreezeError(
            f"unknown backbone {name!r}: take one of {', '.join(TABLE)} (`unfreeze backbones`), "
            "or the name of any builder in keras.applications"
        )
    builder = builders[name.lower()]
    listed = next((row for row in TABLE.values() if row.builder == builder), None)
    if listed is not None:
        raise UnfreezeError(f"backbone {name!r} is spelled {listed.name!r} here")
    # NASNet is the one family that fixes 32 pixels by a check of its own but trains on 331 or 224; 32 is the
    # smallest side that keras.applications accepts for every other network too.
    return Row(name, builder, _pixels_of(builder), 32, 224)


def check_size(row: Row, size: int) -> None:
    """Refuse images that are too small for a backbone.

    Raises:
        UnfreezeError: The side is under the row's smallest.
    """
    if size < row.smallest_size:
        raise UnfreezeError(
            f"preprocess.image_size {size} is under {row.name}'s smallest, {row.smallest_size}: "
            f"set preprocess.image_size={row.smallest_size} or more (it was trained on {row.native_size})"
        )


def build(row: Row, size: int) -> Any:
    """Build a backbone without its top, with untrained weights.

    Args:
        row: The backbone.
        size: Image side, pixels.

    Returns:
        A functional `keras.Model` from (batch, size, size, 3) float32, scaled as the row says, to features.

    Raises:
        UnfreezeError: The images are too small for it.
    """
    check_size(row, size)
    if row.builder is None:
        return _small_cnn(size)
    import keras

    return getattr(keras.applications, row.builder)(weights=None, include_top=False, input_shape=(size, size, 3))


def scale_pixels(pixels: Pixels, x: Any) -> Any:
    """Scale pixels 0..255 in one of the known ways, with standard layers and no weights.

    Args:
        pixels: A row's kind of scaling, or `unit`: 0..1, which none of the table's networks was trained on.
        x: Keras tensor of shape (batch, height, width, 3), RGB.

    Returns:
        Keras tensor of the same shape, float32.
    """
    from keras import layers

    if pixels == "inside":
        return layers.Rescaling(1.0, name="pixels_as_they_are")(x)
    if pixels == "tf":
        return layers.Rescaling(1 / 127.5, offset=-1.0, name="pixels_to_minus_one_to_one")(x)
    if pixels == "unit":
        return layers.Rescaling(1 / 255, name="pixels_to_unit")(x)
    if pixels == "torch":
        mean = [255 * value for value in TORCH_MEAN]
        variance = [(255 * value) ** 2 for value in TORCH_STD]
        return layers.Normalization(mean=mean, variance=variance, name="pixels_normalized")(x)
    centred = layers.Normalization(mean=list(CAFFE_MEAN), variance=[1.0, 1.0, 1.0], name="pixels_centred")(x)
    # No standard layer reverses an axis. With channels moved to the front, cropping rows picks single ones.
    channels_first = layers.Permute((3, 1, 2), name="channels_first")(centred)
    red, green, blue = (
        layers.Cropping2D(((index, 2 - index), (0, 0)), data_format="channels_last", name=name)(channels_first)
        for index, name in enumerate(("red", "green", "blue"))
    )
    bgr = layers.Concatenate(axis=1, name="bgr")([blue, green, red])
    return layers.Permute((2, 3, 1), name="channels_last")(bgr)


def preprocess_input(builder: str) -> Callable[[Any], Any]:
    """Return a network's own scaling of pixels 0..255, which may change the array it is given.

    Args:
        builder: Name of the function in keras.applications that builds the network.
    """
    import keras

    own: Callable[[Any], Any] = sys.modules[getattr(keras.applications, builder).__module__].preprocess_input
    return own


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

    def first_trainable(self, point: UnfreezePoint) -> int:
        """Return the index in `base.layers` from which a point trains; `auto` is the row's default."""
        from unfreeze.models import graph

        return graph.first_trainable(self.base, self.row.unfreeze if point == "auto" else point)

    def cut(self, point: UnfreezePoint) -> int:
        """Return the position up to which everything is frozen at an unfreeze point."""
        from unfreeze.models import graph

        return graph.cut_before(self.base, self.first_trainable(point))

    def cuts_up_to(self, position: int) -> list[tuple[int, Any]]:
        """Return where the backbone can be cut between its first layer and a position, with the operations there.

        Args:
            position: The last of them.
        """
        from unfreeze.models import graph

        points = [point for point in graph.articulation_points(self.base) if 0 < point < position]
        return [(point, self.base.operations[point]) for point in [*points, position]]

    def candidates(self, points: tuple[UnfreezePoint, ...]) -> dict[str, UnfreezePoint]:
        """Return the distinct unfreeze points of a search space, by the name of their first trainable layer.

        Args:
            points: Points of any form; `auto` stands for the start of every block, and `none`.

        Returns:
            The points from the top of the backbone down, each as `named` gives it.
        """
        from unfreeze.models import graph

        chosen: list[UnfreezePoint] = []
        for point in points:
            chosen += ["none", *graph.block_starts(self.base)] if point == "auto" else [point]
        chosen.sort(key=self.first_trainable, reverse=True)
        return dict(self.named(point) for point in chosen)

    def named(self, point: UnfreezePoint) -> tuple[str, UnfreezePoint]:
        """Return the name of an unfreeze point, and the point as `none`, `all` or an index.

        Names of unnamed layers differ from process to process, so they show a point and do not find it.
        """
        name = self.point_name(point)
        return name, name if name in ("none", "all") else self.first_trainable(point)

    def point_name(self, point: UnfreezePoint) -> str:
        """Return an unfreeze point as the first trainable layer's name, or `none` or `all`."""
        first = self.first_trainable(point)
        if first == 0:
            return "all"
        return "none" if first == len(self.base.layers) else self.base.layers[first].name

    def part(self, start: int, stop: int) -> Any:
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
            x = graph.segment(self.base, start, stop)(x, training=False)
        return keras.Model(inputs, x)

    def classifier(self, head: Any) -> Any:
        """Return the whole model: uint8 RGB pixels in, class probabilities out."""
        import keras

        inputs = keras.Input((self.size, self.size, 3), dtype="uint8", name="pixels")
        features = self.base(scale_pixels(self.scaling, inputs), training=False)
        return keras.Model(inputs, head(features), name=self.row.name)


def fed_to(output: Any) -> Any:
    """Return what the layer or nested model that made a symbolic tensor was called with, in the same graph.

    So a whole model is taken apart from its end: the head's input, then the backbone's.

    Args:
        output: The only output of a call with one tensor.
    """
    history = output._keras_history
    (tensor,) = history.operation._inbound_nodes[history.node_index].input_tensors
    return tensor


def _small_cnn(size: int) -> Any:
    """Four convolutions, each at half the side of the one before: the model one would train without transfer."""
    import keras
    from keras import layers

    inputs = keras.Input((size, size, 3))
    x = layers.Rescaling(1 / 127.5, offset=-1.0)(inputs)
    for block, filters in enumerate((16, 32, 64, 128), start=1):
        # The first stride spares three quarters of the arithmetic; at 160 pixels fine detail remains.
        strides = 2 if block == 1 else 1
        x = layers.Conv2D(filters, 3, strides=strides, padding="same", activation="relu", name=f"block{block}_conv")(
            x
        )
        x = layers.MaxPooling2D(name=f"block{block}_pool")(x)
    return keras.Model(inputs, x, name="from_scratch")


def _pixels_of(builder: str) -> Pixels:
    """Find which scaling a network's own `preprocess_input` does, by trying it on random pixels."""
    import keras
    import numpy as np

    pixels = np.random.default_rng(0).integers(0, 256, (1, 4, 4, 3)).astype("float32")
    expected = preprocess_input(builder)(pixels.copy())
    kinds: tuple[Pixels, ...] = ("inside", "tf", "caffe", "torch")
    for kind in kinds:
        inputs = keras.Input((4, 4, 3))
        scaled = keras.Model(inputs, scale_pixels(kind, inputs)).predict_on_batch(pixels)
        if np.allclose(scaled, expected, atol=1e-4):
            return kind
    raise UnfreezeError(
        f"backbone {builder}: its preprocess_input is none of {', '.join(kinds)}; "
        "take a backbone of the table (`unfreeze backbones`)"
    )
