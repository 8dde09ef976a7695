"""Numbers as people read them."""

from collections.abc import Callable

from unfreeze.figures.parts import Cell
from unfreeze.records.interval import Interval
from unfreeze.records.verdict import Verdict

# Stands where there is no such number.
NONE = "–"
UNITS = ((1e9, "G"), (1e6, "M"), (1e3, "k"))

Number = float | None


def format_percent(value: Number) -> str:
    """Return a share as 96.4 %.

    >>> format_percent(0.9637)
    '96.4 %'
    """
    return NONE if value is None else f"{100 * value:.1f} %"


def format_points(value: Number) -> str:
    """Return a difference of shares in points, with its sign.

    >>> format_points(0.052)
    '+5.2'
    """
    return NONE if value is None else f"{100 * value:+.1f}"


def format_decimal(value: Number) -> str:
    """Return a number to three decimals.

    >>> format_decimal(0.12345)
    '0.123'
    """
    return NONE if value is None else f"{value:.3f}"


def format_count(value: Number) -> str:
    """Return a whole number with commas between thousands."""
    return NONE if value is None else f"{value:,.0f}"


def format_digits(value: Number) -> str:
    """Return a number to three digits."""
    return NONE if value is None else f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def format_scaled(value: Number) -> str:
    """Return a large number to three digits with its unit: 2.30 G."""
    if value is None:
        return NONE
    for size, unit in UNITS:
        if value >= size:
            return f"{value / size:#.3g} {unit}".replace(". ", " ")
    return f"{value:.0f}"


def format_rate(value: Number) -> str:
    """Return a learning rate as 1.1e-04."""
    return NONE if value is None else f"{value:.1e}"


def format_probability(value: Number) -> str:
    """Return a p-value: three decimals, or that it is smaller."""
    return NONE if value is None else "< 0.001" if value < 0.001 else f"{value:.3f}"


def format_interval(interval: Interval | None, write: Callable[[Number], str]) -> Cell:
    """Return a value with the limits of its interval.

    >>> str(format_interval(Interval(value=0.9, low=0.85, high=0.93), format_percent))
    '90.0 % (85.0 to 93.0)'

    Args:
        interval: None where there is no such value.
        write: How one number is written.
    """
    if interval is None:
        return Cell(NONE)
    limits = (write(limit).removesuffix(" %") for limit in (interval.low, interval.high))
    return Cell(write(interval.value), " to ".join(limits))


def mark_baseline(backbone: str, verdict: Verdict) -> str:
    """Return a backbone's name, marked where it is the study's baseline."""
    return f"{backbone} (baseline)" if backbone == verdict.study.baseline else backbone
