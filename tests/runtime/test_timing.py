import time

from unfreeze.runtime import timing
from unfreeze.runtime.timing import measure_median_ms


def test_the_first_call_and_an_outlier_do_not_count() -> None:
    seconds = iter([0.2, 0.01, 0.01, 0.1, 0.01, 0.01])
    assert 10 <= measure_median_ms(lambda: time.sleep(next(seconds)), calls=5) < 90
    assert next(seconds, None) is None


def test_slow_calls_are_made_less_often(monkeypatch) -> None:
    monkeypatch.setattr(timing, "MOST_SECONDS", 0.05)
    made: list[None] = []

    def call() -> None:
        made.append(None)
        time.sleep(0.03)

    assert measure_median_ms(call) >= 30
    # One that is not timed, and two that are.
    assert len(made) == 3
