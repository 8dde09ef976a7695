"""How images are stored, split and changed."""

from typing import Literal

from pydantic import Field, model_validator

from unfreeze.settings.base import CALIBRATION, FOLDS, Section, Share


class Preprocess(Section):
    """How images are stored: side of the square in pixels."""

    image_size: int = Field(ge=8, le=2048)


class Split(Section):
    """The folds; their shares add up to 1. Folds that the source gives win over all of this.

    Args:
        train: Share of the training fold.
        val: Share of the validation fold.
        test: Share of the test fold.
        calibration: Share of the fold that conformal sets are calibrated on; 0 for none. Its images are taken from
            the training fold, also where the source gives folds.
        method: `exact` gives the shares as closely as the clusters allow; `stable` places each cluster by the hash
            of its content, so that new images move none that was there, save those they are near copies of.
        tolerance: Most that a fold's share of any class may be off.
    """

    train: Share
    val: Share
    test: Share
    calibration: float = Field(default=0, ge=0, lt=1)
    method: Literal["exact", "stable"]
    tolerance: float = Field(gt=0, lt=1)

    @model_validator(mode="after")
    def _shares_add_up(self) -> "Split":
        total = sum(self.shares.values())
        if abs(total - 1) > 1e-6:
            *others, last = self.shares
            raise ValueError(f"{', '.join(others)} and {last} add up to {total:g}, expected 1")
        return self

    @property
    def shares(self) -> dict[str, float]:
        """Each fold's share, in the order of the folds; a calibration fold of 0 is left out."""
        names = (*FOLDS, CALIBRATION) if self.calibration else FOLDS
        return {name: getattr(self, name) for name in names}


class Augment(Section):
    """Random changes to the training images.

    Args:
        views: Stored versions of each training image; 1 is the image as it is and nothing else.
        every_epoch: Whether layers that are trained from the pixels on see each training image with other changes in
            every epoch. Stored activations have the changes of their views.
        horizontal_flip: Mirror left and right in half of the changed views.
        vertical_flip: Mirror top and bottom in half of the changed views.
        rotation: Largest turn, degrees.
        shear: Largest shear, as a share of the side.
        scale: Largest change of size, as a share.
        brightness: Largest change of brightness, as a share of the range.
    """

    views: int = Field(ge=1, le=64)
    every_epoch: bool = False
    horizontal_flip: bool
    vertical_flip: bool
    rotation: float = Field(ge=0, le=180)
    shear: float = Field(ge=0, lt=1)
    scale: float = Field(ge=0, lt=1)
    brightness: float = Field(ge=0, lt=1)

    @model_validator(mode="after")
    def _views_differ(self) -> "Augment":
        changes = (
            self.horizontal_flip,
            self.vertical_flip,
            self.rotation,
            self.shear,
            self.scale,
            self.brightness,
        )
        if self.views > 1 and not any(changes):
            raise ValueError(f"views is {self.views} and every change is off: set views to 1 or turn a change on")
        return self
