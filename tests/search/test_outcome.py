import numpy as np
import pytest

from unfreeze.records.trial import Trial
from unfreeze.search.outcome import choose_best, measure_gain, smooth_score, tabulate


@pytest.mark.parametrize(
    ("losses", "expected"),
    [([0.4], 0.4), ([0.4, 0.2], 0.3), ([0.4, 0.2, 0.9], 0.3), ([0.4, 0.1, 0.5], 0.25), ([0.2, 0.4], 0.2)],
)
def test_the_score_is_not_the_luckiest_epoch(losses: list[float], expected: float) -> None:
    assert smooth_score(losses) == pytest.approx(expected)


def make_trial(
    number: int, score: float | None, parameters: int = 9, failed: str | None = None, **settings: float
) -> Trial:
    return Trial(
        trial=number, unfreeze_from="all", unfreeze_point="all", settings=settings, continues=None, epochs=(),
        failed=failed, score=score, trainable_parameters=parameters,
    )  # fmt: skip


def test_the_lowest_score_wins() -> None:
    assert choose_best([make_trial(1, 0.5, 10), make_trial(2, 0.4, 99), make_trial(3, 1e9, 1)]).trial == 2


def test_a_tie_goes_to_fewer_trained_parameters() -> None:
    assert choose_best([make_trial(1, 0.4, 99), make_trial(2, 0.4, 10)]).trial == 2


def test_the_table_leaves_failed_trials_out() -> None:
    trials = [
        make_trial(0, 0.5, learning_rate=1e-4),
        make_trial(1, None, failed="diverged", learning_rate=1e-2),
        make_trial(2, 0.4, learning_rate=1e-3, dropout=0.5),
    ]
    table = tabulate(trials)
    assert table["trial"].tolist() == [0, 2]
    assert table["dropout"].tolist()[1] == 0.5
    assert table["learning_rate"].tolist() == [1e-4, 1e-3]


def test_the_gain_comes_with_an_interval() -> None:
    labels = np.arange(200) % 2
    sure = np.where(np.eye(2)[labels] > 0, 0.9, 0.1)
    wrong = sure.copy()
    wrong[:20] = wrong[:20, ::-1]
    gain = measure_gain(wrong, sure, labels, 0)
    assert gain["accuracy"].mean == pytest.approx(0.1)
    assert 0.05 < gain["accuracy"].low < 0.1 < gain["accuracy"].high < 0.15
    assert gain["log_loss"].mean == pytest.approx(0.1 * np.log(9))
    same = measure_gain(sure, sure, labels, 0)["accuracy"]
    assert (same.low, same.mean, same.high) == (0, 0, 0)
