"""What the data must satisfy."""

from collections.abc import Iterable
from typing import Annotated, Any, Literal, cast

from pydantic import BeforeValidator, Field, ValidationError, create_model, model_validator

from unfreeze.errors import UnfreezeError
from unfreeze.settings.base import Section

# YAML 1.1 reads `off` without quotes as false.
Level = Annotated[
    Literal["error", "warning", "off"], BeforeValidator(lambda given: "off" if given is False else given)
]


class Check(Section):
    """Level of a check: a finding ends the run, is logged, or is not looked for."""

    level: Level


class Bounded(Check):
    """A check with a threshold; its unit is that of what the check measures."""

    threshold: float = Field(ge=0)


class ShareBounded(Bounded):
    """A check whose threshold is a share."""

    threshold: float = Field(ge=0, lt=1)


class Calibrated(Check):
    """A check whose threshold is a number, or taken from the set itself."""

    threshold: Literal["auto"] | Annotated[int, Field(ge=0, le=16)]


def count_pixels(megapixels: float) -> int:
    """Return how many pixels so many millions are."""
    return int(megapixels * 1e6)


class Limits(Section):
    """What may be spent on reading an image, and how many images a class needs.

    Args:
        on_bad: What an unreadable or too small image does: end the run, or be set aside and listed.
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
        return count_pixels(self.max_megapixels)


class CheckSettings(dict[str, Check]):
    """The settings of the checks that a stage declares, by name; to ask for another one is an error.

    >>> CheckSettings({"blurry": Check(level="warning")}).get_level("blurry")
    'warning'
    """

    def __missing__(self, name: str) -> Check:
        raise UnfreezeError(
            f"the settings of check {name!r} were asked for, declared are {', '.join(self)}: "
            "add it to the stage's settings and to its params in dvc.yaml"
        )

    def get_level(self, name: str) -> Level:
        """Return what a finding of a check does."""
        return self[name].level

    def get_threshold(self, name: str) -> float:
        """Return the threshold of a check that has a number for it."""
        return cast(Bounded, self[name]).threshold


class Checks(Limits):
    """What the data must satisfy; docs/checks.md says what each check means.

    Here are the checks of the set and of backbones. Those of single images declare themselves, with their defaults:
    `build_checks_model` adds them.
    """

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

    @model_validator(mode="before")
    @classmethod
    def _add_defaults(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        completed = dict(values)
        for name in cls.model_fields.keys() & _DECLARED:
            given, default = values.get(name, {}), _DECLARED[name].model_dump()
            completed[name] = {**default, **given} if isinstance(given, dict) else given
        return completed

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


# Defaults of the checks of single images, by name.
_DECLARED: dict[str, Check] = {}


def declare_check(name: str, level: Level, threshold: float | Literal["auto"] | None = None) -> None:
    """Add a check of single images to the settings.

    Args:
        name: Its key below `checks` in params.yaml, which need not hold it.
        level: Default level.
        threshold: Default threshold, from 0 on; `auto` takes a number of bits from the set; None for none.

    Raises:
        UnfreezeError: The name stands for another setting, or a default is out of range.
    """
    if name in _DECLARED or hasattr(Checks, name) or name in Checks.model_fields:
        raise UnfreezeError(f"check {name!r}: another setting below checks has this name, choose another one")
    kind = Check if threshold is None else Calibrated if threshold == "auto" else Bounded
    values = {"level": level} | ({} if threshold is None else {"threshold": threshold})
    try:
        _DECLARED[name] = kind.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        raise UnfreezeError(f"check {name!r}: default of {first['loc'][0]}: {first['msg']}") from error


def build_checks_model() -> type[Checks]:
    """Return the model of `checks` in params.yaml with all checks that are declared."""
    fields: dict[str, Any] = {name: (type(check), ...) for name, check in _DECLARED.items()}
    return create_model("Checks", __base__=Checks, **fields)


def parse_check(name: str, values: Any) -> Check:
    """Return the settings of a check of single images.

    Args:
        name: Its name.
        values: What `Check.model_dump` returned.
    """
    kind = type(_DECLARED[name]) if name in _DECLARED else Check
    return kind.model_validate(values)
