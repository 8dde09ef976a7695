"""What the data must satisfy."""

from collections.abc import Iterable
from typing import Annotated, Literal, cast

from pydantic import Field

from unfreeze.errors import UnfreezeError
from unfreeze.settings.base import Section


class Check(Section):
    """What a finding of a check does: end the run, be told, or not be looked for."""

    level: Literal["error", "warning", "off"]


class Bounded(Check):
    """A check with a threshold; its unit is told where it is set."""

    threshold: float = Field(ge=0)


class ShareBounded(Bounded):
    """A check whose threshold is a share."""

    threshold: float = Field(ge=0, lt=1)


class Calibrated(Check):
    """A check whose threshold is a number, or taken from the set itself."""

    threshold: Literal["auto"] | Annotated[int, Field(ge=0, le=16)]


class Limits(Section):
    """What may be spent on reading an image, and how many images a class needs.

    Args:
        on_bad: What an unreadable image does: end the run, or be set aside and listed.
        max_megapixels: Most pixels an image may have, millions; larger ones count as unreadable.
        seconds_per_image: Seconds after which decoding an image is given up.
        worker_gb: Most memory that decoding an image may take, GB.
        min_images_per_class: Fewest readable images of a class.
    """

    on_bad: Literal["fail", "quarantine"]
    max_megapixels: float = Field(gt=0)
    seconds_per_image: float = Field(gt=0)
    worker_gb: float = Field(gt=0)
    min_images_per_class: int = Field(ge=5)

    @property
    def unreadable(self) -> Check:
        """The check of images that cannot be read."""
        return Check(level="error" if self.on_bad == "fail" else "warning")

    @property
    def max_pixels(self) -> int:
        """Most pixels an image may have."""
        return int(self.max_megapixels * 1e6)


class CheckSettings(dict[str, Check]):
    """The settings of the checks that a stage declares, by name; to ask for another one is an error."""

    def __missing__(self, name: str) -> Check:
        raise UnfreezeError(
            f"the settings of check {name!r} were asked for, declared are {', '.join(self)}: "
            "add it to the stage's settings and to its params in dvc.yaml"
        )

    def level_of(self, name: str) -> Literal["error", "warning", "off"]:
        """Return what a finding of a check does."""
        return self[name].level

    def threshold_of(self, name: str) -> float:
        """Return the threshold of a check that has a number for it."""
        return cast(Bounded, self[name]).threshold


class Checks(Limits):
    """What the data must satisfy. What each check means is told in `checks/catalogue.py` and docs/checks.md."""

    conflicting_labels: Check
    exact_duplicates: Check
    near_duplicates: Calibrated
    near_conflicts: Check
    wrong_extension: Check
    blurry: Bounded
    dark: Bounded
    bright: Bounded
    low_information: Bounded
    odd_size: Bounded
    odd_aspect: Bounded
    imbalance: Bounded
    shortcut: Bounded
    drift: Bounded
    suspect_labels: Bounded
    single_colour: ShareBounded
    dead_features: ShareBounded
    pixel_scaling: Check
    collapsed_features: Bounded
    uninformative_features: Check
    one_class: Check
    below_majority: Check
    no_gain: Check

    @property
    def limits(self) -> Limits:
        """What may be spent on an image, and how many a class needs."""
        return Limits(**{name: getattr(self, name) for name in Limits.model_fields})

    def select(self, names: Iterable[str]) -> CheckSettings:
        """Return the settings of some checks, and of no others.

        Args:
            names: Names of checks.
        """
        return CheckSettings({name: getattr(self, name) for name in names})
