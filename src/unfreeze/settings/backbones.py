"""A backbone of one's own: what `conf/backbones/NAME.yaml` holds."""

import re
from typing import Literal

from pydantic import Field, field_validator, model_validator

from unfreeze.settings.base import Pixels, Section, Sha256
from unfreeze.settings.training import BlockCount, HeadLayer, UnfreezePoint

# Before the name of a preset of KerasHub.
HUB = "hub:"


class Transformer(Section):
    """A vision transformer of KerasHub; `unfreeze backbones --add` writes it from the preset's configuration.

    Args:
        family: Whose layers the weights have.
        patch: Side of a patch, pixels: image sides are multiples of it.
        width: Numbers of a token.
        depth: Blocks.
        heads: Heads of each attention; they divide the width.
        mlp: Units of the first dense layer in each block.
        activation: That of the dense layers in each block.
        epsilon: That of the layer normalizations.
        class_token: Whether the first token stands for the whole image.
        registers: Further tokens before those of the patches.
        layer_scale: Whether each path of a block ends in one factor a channel.
        patch_bias: Whether patches are embedded with a bias.
        attention_bias: Whether attention has biases.
        mlp_bias: Whether the dense layers have biases.
        antialias: Whether embeddings of positions are smoothed before they are brought to a smaller image.
    """

    family: Literal["vit", "dinov2", "siglip"]
    patch: int = Field(ge=1)
    width: int = Field(ge=1)
    depth: int = Field(ge=1)
    heads: int = Field(ge=1)
    mlp: int = Field(ge=1)
    activation: Literal["gelu", "gelu_approximate", "swiglu"] = "gelu"
    epsilon: float = Field(default=1e-6, gt=0)
    class_token: bool = True
    registers: int = Field(default=0, ge=0)
    layer_scale: bool = False
    patch_bias: bool = True
    attention_bias: bool = True
    mlp_bias: bool = True
    antialias: bool = False

    @property
    def extra_tokens(self) -> int:
        """Tokens before those of the patches."""
        return self.class_token + self.registers

    @model_validator(mode="after")
    def _heads_divide_the_width(self) -> "Transformer":
        if self.width % self.heads:
            raise ValueError(f"heads {self.heads} do not divide width {self.width}")
        return self


class OwnBackbone(Section):
    """A backbone that is not in the table.

    Args:
        builder: Name of a function in keras.applications, `module:function`, the path of a `.keras` file, or
            `hub:PRESET`: a preset of KerasHub by its name, its address or its folder. The module is a file in
            `plugins/` (`plugins.backbones.tiny` is `plugins/backbones/tiny.py`) or an installed one; the function
            takes the image side in pixels and returns the network without its top.
        pixels: What the network expects of pixels 0..255: `inside` (as they are), `tf` (-1..1), `caffe` (BGR without
            the ImageNet mean), `torch` (RGB less the ImageNet mean, divided by the deviation) or `unit` (0..1).
        smallest_size: Smallest image side that it takes, pixels.
        native_size: Image side that it was trained on, pixels.
        sha256: Digest of the `.keras` file, which must have it.
        output: Name of the last layer that is kept, or of the nested network to take; null keeps all.
        blocks: First layer of each block, from the bottom up, which `blocks: n` and `auto` count by; empty finds
            them where paths meet again.
        unfreeze: Default unfreeze point.
        head: Default layers between the backbone and the last dense layer; null for those of the table, which for
            tokens are the class token, or the mean of all tokens where there is none.
        patch: Image sides must be multiples of it; null for any side.
        transformer: The network of a preset that is a vision transformer.
    """

    builder: str
    pixels: Pixels
    smallest_size: int = Field(ge=1)
    native_size: int = Field(ge=1)
    sha256: Sha256 | None = None
    output: str | None = None
    blocks: tuple[str, ...] = ()
    unfreeze: UnfreezePoint = BlockCount(blocks=1)
    head: tuple[HeadLayer, ...] | None = None
    patch: int | None = Field(default=None, ge=1)
    transformer: Transformer | None = None

    @field_validator("builder")
    @classmethod
    def _has_a_known_form(cls, builder: str) -> str:
        is_known = re.fullmatch(rf"{HUB}\S.*|\w+([.]\w+)*:\w+", builder) or builder.isidentifier()
        if not (is_known or builder.endswith(".keras")):
            raise ValueError(
                "expected a name of keras.applications, module:function, the path of a .keras file or hub:PRESET"
            )
        return builder

    @model_validator(mode="after")
    def _sizes_are_ordered(self) -> "OwnBackbone":
        if self.smallest_size > self.native_size:
            raise ValueError(f"smallest_size {self.smallest_size} is above native_size {self.native_size}")
        return self

    @model_validator(mode="after")
    def _transformer_fits(self) -> "OwnBackbone":
        if self.transformer is None:
            return self
        if not self.builder.startswith(HUB):
            raise ValueError(f"transformer is for builder: {HUB}PRESET")
        if self.patch not in (None, self.transformer.patch):
            raise ValueError(f"patch {self.patch} differs from transformer.patch {self.transformer.patch}")
        if self.native_size % self.transformer.patch:
            raise ValueError(f"native_size {self.native_size} is no multiple of the patch, {self.transformer.patch}")
        return self
