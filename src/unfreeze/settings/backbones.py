"""A backbone of one's own: what `conf/backbones/NAME.yaml` holds."""

import re

from pydantic import Field, field_validator, model_validator

from unfreeze.settings.base import Pixels, Section, Sha256
from unfreeze.settings.training import BlockCount, HeadLayer, UnfreezePoint


class OwnBackbone(Section):
    """A backbone that is not in the table.

    Args:
        builder: Name of a function in keras.applications, `module:function`, or the path of a `.keras` file. The
            module is a file in `plugins/` (`plugins.backbones.tiny` is `plugins/backbones/tiny.py`) or an installed
            one; the function takes the image side in pixels and returns the network without its top.
        pixels: What the network expects of pixels 0..255: `inside` (as they are), `tf` (-1..1), `caffe` (BGR without
            the ImageNet mean), `torch` (RGB less the ImageNet mean, divided by the deviation) or `unit` (0..1).
        smallest_size: Smallest image side that it takes, pixels.
        native_size: Image side that it was trained on, pixels.
        sha256: Digest of the `.keras` file, which must have it.
        output: Name of the last layer that is kept, or of the nested network to take; null keeps all.
        blocks: First layer of each block, from the bottom up, which `blocks: n` and `auto` count by; empty finds
            them where paths meet again.
        unfreeze: Default unfreeze point.
        head: Default layers between the backbone and the last dense layer; null for those of the table.
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

    @field_validator("builder")
    @classmethod
    def _has_a_known_form(cls, builder: str) -> str:
        if not (re.fullmatch(r"\w+([.]\w+)*:\w+", builder) or builder.endswith(".keras") or builder.isidentifier()):
            raise ValueError("expected a name of keras.applications, module:function or the path of a .keras file")
        return builder

    @model_validator(mode="after")
    def _sizes_are_ordered(self) -> "OwnBackbone":
        if self.smallest_size > self.native_size:
            raise ValueError(f"smallest_size {self.smallest_size} is above native_size {self.native_size}")
        return self
