"""A value with its interval, and how sure intervals are."""

from typing import Annotated, Any

from pydantic import BeforeValidator

from unfreeze.records.record import Record

# Share of all intervals that hold the truth; what is left is halved at both ends.
CONFIDENCE = 0.95
ALPHA = round(1 - CONFIDENCE, 12)
LEVEL = f"{100 * CONFIDENCE:g} %"


class Interval(Record):
    """A value with the interval that holds it at the confidence `CONFIDENCE`.

    Args:
        value: The estimate.
        low: Lower limit, at most `value`.
        high: Upper limit, at least `value`.

    >>> accuracy = Interval(value=0.84, low=0.81, high=0.87)
    >>> accuracy.low
    0.81
    """

    value: float
    low: float
    high: float

    def negate(self) -> "Interval":
        """Return the interval of the difference taken the other way round.

        >>> Interval(value=0.2, low=0.1, high=0.4).negate()
        Interval(value=-0.2, low=-0.4, high=-0.1)
        """
        return Interval(value=-self.value, low=-self.high, high=-self.low)


def _missing_as_none(value: Any) -> Any:
    """Accept the form of earlier versions for a missing score: three nulls."""
    return None if isinstance(value, dict) and value.get("value", 0) is None else value


# None where there is no such score, such as the recall of a class without test images.
OptionalInterval = Annotated[Interval | None, BeforeValidator(_missing_as_none)]
