"""The settings that a stage declares, taken out of all of params.yaml.

A stage names each parameter that it uses in a frozen dataclass. DVC reruns the stage when one of them changes (a test
compares the names with dvc.yaml), and mypy finds the use of any other one.
"""

import dataclasses
from collections.abc import Iterator
from typing import Any, TypeVar

from unfreeze.settings.checks import CheckSettings
from unfreeze.settings.params import Params

NAMES = "params"

T = TypeVar("T")


def declare_param(*names: str) -> Any:
    """Declare where a field of a stage's settings comes from.

    Args:
        names: Dotted name in params.yaml; for checks and for limits, the names of all that are used.
    """
    return dataclasses.field(metadata={NAMES: names})


def list_names(settings: type) -> tuple[str, ...]:
    """Return the dotted names of the parameters that a stage's settings consist of, in order.

    Args:
        settings: A dataclass whose fields are made by `declare_param`, or named like a section of params.yaml.
    """
    return tuple(name for _, names in _list_fields(settings) for name in names)


def select(params: Params, settings: type[T]) -> T:
    """Return the settings of a stage.

    Args:
        params: All of params.yaml.
        settings: The stage's dataclass.
    """
    return settings(**{field.name: _find_value(params, field, names) for field, names in _list_fields(settings)})


def _list_fields(settings: type) -> Iterator[tuple[dataclasses.Field[Any], tuple[str, ...]]]:
    for field in dataclasses.fields(settings):
        yield field, field.metadata.get(NAMES, (field.name,))


def _find_value(params: Params, field: dataclasses.Field[Any], names: tuple[str, ...]) -> Any:
    if field.type is CheckSettings:
        return params.checks.select(name.removeprefix("checks.") for name in names)
    if len(names) > 1:
        return params.checks.limits
    value: Any = params
    for part in names[0].split("."):
        value = getattr(value, part)
    return value
