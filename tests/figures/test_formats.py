from unfreeze.figures.formats import (
    NONE,
    count,
    decimal,
    digits,
    percent,
    points,
    probability,
    rate,
    scaled,
    with_interval,
)
from unfreeze.records.interval import Interval


def test_numbers_are_written_as_people_read_them() -> None:
    assert percent(0.9638) == "96.4 %"
    assert points(0.0534) == "+5.3"
    assert points(-0.1) == "-10.0"
    assert decimal(0.80234) == "0.802"
    assert count(20_865_578) == "20,865,578"
    assert [digits(value) for value in (0.01234, 12.8125, 1234.5)] == ["0.0123", "12.8", "1,234"]
    assert [scaled(value) for value in (2.3e9, 20_865_578, 4_200, 12)] == ["2.30 G", "20.9 M", "4.20 k", "12"]
    assert scaled(139e6) == "139 M"
    assert rate(1.1e-4) == "1.1e-04"
    assert [probability(value) for value in (0.0002, 0.0321)] == ["< 0.001", "0.032"]


def test_what_is_missing_has_a_mark() -> None:
    assert {write(None) for write in (percent, points, decimal, count, digits, scaled, rate, probability)} == {NONE}


def test_an_interval_has_one_unit() -> None:
    assert str(with_interval(Interval(value=0.95, low=0.93, high=0.965), percent)) == "95.0 % (93.0 to 96.5)"
    assert str(with_interval(None, points)) == NONE
