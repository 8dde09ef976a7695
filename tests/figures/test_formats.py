from unfreeze.figures.formats import (
    NONE,
    format_count,
    format_decimal,
    format_digits,
    format_interval,
    format_percent,
    format_points,
    format_probability,
    format_rate,
    format_scaled,
)
from unfreeze.records.interval import Interval


def test_numbers_are_written_as_people_read_them() -> None:
    assert format_percent(0.9638) == "96.4 %"
    assert format_points(0.0534) == "+5.3"
    assert format_points(-0.1) == "-10.0"
    assert format_decimal(0.80234) == "0.802"
    assert format_count(20_865_578) == "20,865,578"
    assert [format_digits(value) for value in (0.01234, 12.8125, 1234.5)] == ["0.0123", "12.8", "1,234"]
    assert [format_scaled(value) for value in (2.3e9, 20_865_578, 4_200, 12)] == ["2.30 G", "20.9 M", "4.20 k", "12"]
    assert format_scaled(139e6) == "139 M"
    assert format_rate(1.1e-4) == "1.1e-04"
    assert [format_probability(value) for value in (0.0002, 0.0321)] == ["< 0.001", "0.032"]


def test_what_is_missing_has_a_mark() -> None:
    assert {
        write(None)
        for write in (
            format_percent,
            format_points,
            format_decimal,
            format_count,
            format_digits,
            format_scaled,
            format_rate,
            format_probability,
        )
    } == {NONE}


def test_an_interval_has_one_unit() -> None:
    assert str(format_interval(Interval(value=0.95, low=0.93, high=0.965), format_percent)) == "95.0 % (93.0 to 96.5)"
    assert str(format_interval(None, format_points)) == NONE
