"""The table of backbones."""

import re
from dataclasses import dataclass, field
from typing import Literal

from unfreeze.errors import UnfreezeError
from unfreeze.models.own_backbones import list_own_backbones, read_own_backbone
from unfreeze.models.pixels import detect_pixels
from unfreeze.runtime import console
from unfreeze.settings.backbones import HUB, OwnBackbone, Transformer
from unfreeze.settings.base import Pixels
from unfreeze.settings.sources import WeightsSource
from unfreeze.settings.training import BlockCount, DropoutSpec, HeadLayer, UnfreezePoint

# Tokens are averaged as places are.
POOLED_HEAD: tuple[HeadLayer, ...] = ("global_average_pooling", DropoutSpec(dropout=0.2))
TOKEN_HEAD: tuple[HeadLayer, ...] = ("class_token", DropoutSpec(dropout=0.2))


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Args:
        name: The name used in params.yaml and in file names.
        builder: Name of the function in keras.applications, or None for the CNN from scratch. Of a backbone of
            one's own also `module:function`, the path of a `.keras` file or `hub:PRESET`.
        pixels: What the network expects: `inside` (0..255, it scales itself), `tf` (-1..1), `caffe` (BGR
            without the mean), `torch` (RGB, mean and deviation removed) or `unit` (0..1).
        smallest_size: Smallest image side, pixels.
        native_size: Image side it was trained on, pixels.
        unfreeze: Default unfreeze point. For the course report's six it is the report's first active layer.
        head: Default layers between backbone and last dense layer.
        output: Last layer that is kept of a network of one's own, or the nested network to take; None keeps all.
        blocks: First layers of the blocks, from the bottom up; empty finds them in the graph.
        is_own: Whether it comes from `conf/backbones`.
        patch: Image sides must be multiples of it; None for any side.
        transformer: The network, if it is a vision transformer of KerasHub.
    """

    name: str
    builder: str | None
    pixels: Pixels
    smallest_size: int
    native_size: int
    unfreeze: UnfreezePoint = field(default_factory=lambda: BlockCount(blocks=1))
    head: tuple[HeadLayer, ...] = POOLED_HEAD
    output: str | None = None
    blocks: tuple[str, ...] = ()
    is_own: bool = False
    patch: int | None = None
    transformer: Transformer | None = None

    @property
    def origin(self) -> Literal["scratch", "applications", "function", "file", "hub"]:
        """What builds the network: this package, keras.applications, one's own function or file, or KerasHub."""
        if self.builder is None:
            return "scratch"
        if self.builder.startswith(HUB):
            return "hub"
        if self.builder.endswith(".keras"):
            return "file"
        return "function" if ":" in self.builder else "applications"


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


def find_row(name: str) -> Row:
    """Return the row of a backbone.

    Names outside the table are looked up in `conf/backbones` of the working folder, then among the builders of
    keras.applications; how the latter scale pixels is read off their own `preprocess_input`.

    Args:
        name: A name of the table, of a file in `conf/backbones` or of a builder; the last in any case.

    Returns:
        The row.

    Raises:
        UnfreezeError: There is no such backbone, its settings are wrong, or two of one name.

    >>> find_row("vgg16").pixels
    'caffe'
    """
    own = read_own_backbone(name)
    if own is not None and name in TABLE:
        raise UnfreezeError(f"backbone {name} is in the table already: give conf/backbones/{name}.yaml another name")
    if own is not None:
        return _make_own(name, own)
    if name.startswith(HUB):
        raise UnfreezeError(
            f"backbone {name!r}: give the preset a name and settings first, "
            f"`unfreeze backbones --add {name}` writes conf/backbones/{name_preset(name)}.yaml; "
            f"then study.backbones=[{name_preset(name)}]"
        )
    return TABLE[name] if name in TABLE else _find_builder(name)


def name_preset(builder: str) -> str:
    """Return the name that a preset of KerasHub has as a backbone.

    Args:
        builder: Such as `hub:vit_base_patch16_224_imagenet`, or `hub:` and an address or a folder.

    >>> name_preset("hub:hf://somebody/dinov2-small")
    'dinov2_small'
    """
    return re.sub(r"\W+", "_", builder.removeprefix(HUB).rstrip("/").rpartition("/")[2])


def _make_own(name: str, own: OwnBackbone) -> Row:
    """Return the row of a backbone in `conf/backbones`; the settings of a transformer tell blocks, patch and head."""
    fields = {key: value for key, value in own if key != "sha256" and value is not None}
    if own.transformer is not None:
        fields["patch"] = own.transformer.patch
        fields["blocks"] = own.blocks or ("patches", *(f"block{n + 1}_norm1" for n in range(own.transformer.depth)))
        if own.head is None and own.transformer.class_token:
            fields["head"] = TOKEN_HEAD
    return Row(name, **fields, is_own=True)


def _find_builder(name: str) -> Row:
    """Return the row of a builder of keras.applications that is not in the table."""
    console.import_keras()
    import keras

    builders = {
        key.lower(): key
        for key in dir(keras.applications)
        if key[0].isupper() and callable(getattr(keras.applications, key))
    }
    if name.lower() not in builders:
        raise UnfreezeError(
            f"unknown backbone {name!r}: take one of {', '.join([*TABLE, *list_own_backbones()])} "
            "(`unfreeze backbones`), or the name of any builder in keras.applications, or describe your own in "
            f"conf/backbones/{name}.yaml"
        )
    builder = builders[name.lower()]
    listed = next((row for row in TABLE.values() if row.builder == builder), None)
    if listed is not None:
        raise UnfreezeError(f"backbone {name!r} is spelled {listed.name!r} here")
    # NASNet is the one family that fixes 32 pixels by a check of its own but trains on 331 or 224; 32 is the
    # smallest side that keras.applications accepts for every other network too.
    return Row(name, builder, detect_pixels(builder), 32, 224)


def check_size(row: Row, size: int) -> None:
    """Refuse images that are too small for a backbone, or that its patches do not cover exactly.

    Raises:
        UnfreezeError: The side is under the row's smallest, or no multiple of its patch.
    """
    if size < row.smallest_size:
        raise UnfreezeError(
            f"preprocess.image_size {size} is under {row.name}'s smallest, {row.smallest_size}: "
            f"set preprocess.image_size={row.smallest_size} or more (it was trained on {row.native_size})"
        )
    if row.patch is not None and size % row.patch:
        below = size // row.patch * row.patch
        sides = [side for side in (below, below + row.patch) if side >= row.smallest_size]
        raise UnfreezeError(
            f"preprocess.image_size {size} is no multiple of {row.patch}, the side of {row.name}'s patches: set "
            f"preprocess.image_size={' or '.join(map(str, sides))} (it was trained on {row.native_size})"
        )


def check_weights(row: Row, source: WeightsSource) -> None:
    """Refuse ImageNet weights for a network of which Keras has none.

    Raises:
        UnfreezeError: The network is built by a function of one's own.
    """
    if source == "imagenet" and row.origin == "function":
        raise UnfreezeError(
            f"weights of {row.name}: Keras has no ImageNet weights for {row.builder}: give a file, "
            f"-S '+weights.{row.name}={{file: PATH, sha256: DIGEST}}', or -S +weights.{row.name}=random"
        )
