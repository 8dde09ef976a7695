import copy
import functools
import gc
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.training.test_transfer import PHASE, make_transfer, resident_mb
from unfreeze.evaluation.calibration import measure_calibrated_loss
from unfreeze.records.trial import Trial
from unfreeze.search.outcome import smooth_score
from unfreeze.search.planned import Planned
from unfreeze.search.trials import DEATHS, Trials
from unfreeze.settings.training import Phase
from unfreeze.training.transfer import FineTuned, Transfer


@pytest.fixture
def trials(tmp_path: Path) -> Trials:
    """Trials of a small random MobileNetV2 on red and blue squares."""
    return make_trials(tmp_path, [])


@functools.cache
def prepare(folder: Path, max_gb: float) -> Transfer:
    """Prepare a transfer and train its head once for all tests, as a search does once for all trials."""
    transfer = make_transfer(folder / f"transfer of {max_gb} GB", "block_15_expand", max_gb=max_gb)
    transfer.train_head(PHASE)
    return transfer


def make_trials(
    folder: Path,
    reported: list[Trial],
    *,
    keep_states: bool = False,
    max_gb: float = 1.0,
    phase: Phase = PHASE,
    patience: int | None = None,
    is_calibrated: bool = False,
) -> Trials:
    transfer = copy.copy(prepare(folder.parent, max_gb))
    points = {name: name for name in ("none", "block_16_expand", "block_15_expand")}
    return Trials(
        transfer,
        transfer.head,
        phase,
        points,
        folder / "search",
        report=reported.append,
        keep_states=keep_states,
        patience=patience,
        is_calibrated=is_calibrated,
    )


def test_a_trial_is_told_as_it_goes_and_kept(tmp_path: Path) -> None:
    reported: list[Trial] = []
    trials = make_trials(tmp_path, reported)
    trial = trials.run(Planned(1, "block_16_expand", {"learning_rate": 1e-4}))
    assert [len(one.epochs) for one in reported] == [0, 1, 2, 3, 3]
    assert trial.score == smooth_score([epoch.val_loss for epoch in trial.epochs])
    assert trial.trainable_parameters > trials.head.count_params()
    assert trial.seconds > 0
    assert trial.peak_mb > 50
    kept = trials.load_probabilities(1)
    labels = trials.transfer.features.plan.val.labels
    assert (kept.argmax(axis=1) == labels).mean() == trial.val_accuracy
    assert trials.run(Planned(1, "block_16_expand", {"learning_rate": 1e-4})) == trial, "it is not run again"


def test_with_patience_a_trial_stops_early_and_keeps_the_weights_that_its_score_is_of(tmp_path: Path) -> None:
    phase = PHASE.model_copy(update={"epochs": 12, "patience": None})
    trial = make_trials(tmp_path, [], phase=phase, patience=1).run(Planned(1, "none", {"learning_rate": 0.01}))
    losses = [epoch.val_loss for epoch in trial.epochs]
    assert len(losses) < 12
    assert losses[-1] > min(losses), "it ended one epoch after the best"
    trials = make_trials(tmp_path, [], phase=phase, patience=1)
    kept = trials.load_probabilities(1)
    of_label = kept[range(len(kept)), trials.transfer.features.plan.val.labels]
    assert -np.log(np.clip(of_label, 1e-45, 1)).mean() == pytest.approx(losses[-1], rel=1e-3)


def test_where_label_smoothing_is_searched_scores_are_losses_after_a_temperature(tmp_path: Path) -> None:
    trials = make_trials(tmp_path, [], is_calibrated=True)
    trial = trials.run(Planned(1, "none", {"learning_rate": 1e-3, "label_smoothing": 0.6}))
    labels = trials.transfer.features.plan.val.labels
    expected = measure_calibrated_loss(labels, trials.load_probabilities(1).astype(float), np.ones(len(labels)))
    assert trial.score == pytest.approx(expected, rel=1e-6)
    assert trial.score < trial.val_loss


def test_every_trial_starts_from_the_same_weights(trials: Trials) -> None:
    settings = {"learning_rate": 1e-3}
    first = trials.run(Planned(1, "block_15_expand", settings))
    trials.run(Planned(2, "none", {"learning_rate": 1e-2, "optimizer": "sgd"}))
    again = trials.run(Planned(3, "block_15_expand", settings))
    assert again.epochs == first.epochs


def test_a_trial_leaves_no_model_behind(trials: Trials) -> None:
    def models() -> int:
        gc.collect()
        return sum(isinstance(found, FineTuned) for found in gc.get_objects())

    before = models()
    for number in (1, 2):
        trials.run(Planned(number, "none", {"learning_rate": 1e-3}))
    assert models() == before


def test_a_trial_that_diverges_is_left_out_with_its_cause(trials: Trials) -> None:
    trial = trials.run(Planned(1, "block_16_expand", {"learning_rate": 1e38}))
    assert trial.failed.startswith("diverged in epoch 1")
    assert trial.score is None
    assert not trials.run(Planned(2, "none", {"learning_rate": 1e-4})).failed


def test_a_trial_that_fails_is_left_out_with_its_cause(trials: Trials) -> None:
    trial = trials.run(Planned(1, "none", {"learning_rate": 1e-4, "dropout": 0.5}))
    assert "a head without a dropout layer" in trial.failed


def test_a_trial_in_which_processes_die_is_given_up(trials: Trials) -> None:
    trials.folder.mkdir(exist_ok=True)
    (trials.folder / "trial-0001.deaths").write_text("x" * DEATHS)
    assert "the process died in it 3 times" in trials.run(Planned(1, "none", {})).failed


def test_a_trial_goes_on_from_another(tmp_path: Path) -> None:
    trials = make_trials(tmp_path, [], keep_states=True)
    first = trials.run(Planned(1, "block_16_expand", {"learning_rate": 1e-3}, until=1))
    second = trials.run(Planned(2, "block_16_expand", {"learning_rate": 1e-3}, continues=1, until=3))
    assert len(first.epochs) == 1
    assert second.epochs[0] == first.epochs[0]
    assert len(second.epochs) == 3


def test_only_the_best_trials_weights_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("unfreeze.search.trials.STATES_KEPT", 2)
    trials = make_trials(tmp_path, [], keep_states=True)
    rates = enumerate((1e-5, 1e-3, 3e-3), 1)
    ended = [trials.run(Planned(number, "none", {"learning_rate": rate})) for number, rate in rates]
    trials.drop_poor_states()
    best = sorted(ended, key=lambda trial: trial.score)[:2]
    kept = {int(path.stem[-4:]) for path in trials.folder.glob("*.npz")}
    assert kept == {trial.trial for trial in best}
    worst = max(ended, key=lambda trial: trial.score).trial
    again = trials.run(Planned(9, "none", {"learning_rate": 1e-3}, continues=worst))
    assert len(again.epochs) == PHASE.epochs, "without weights it is trained from the start"


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [(1, 1, [1, 2, 2]), (0, 1, [1, 1, 1, 2]), (1, 3, [1, 2, 2, 1, 2, 4])],
    ids=["as before", "less than before", "still less"],
)
def test_a_trial_goes_on_with_the_memory_there_is(
    tmp_path: Path, first: int, second: int, expected: list[int]
) -> None:
    """Goes on with the steps of before; where they have no room any more, it begins anew with smaller ones."""
    trials = make_trials(tmp_path, [], keep_states=True)
    settings = {"learning_rate": 1e-3}
    begun, fit = [], trials.transfer._fit
    largest = first

    def scarce(*args: Any) -> Any:
        parts = args[-1]
        begun.append(parts)
        if parts <= largest:
            raise MemoryError
        return fit(*args)

    trials.transfer._fit = scarce  # type: ignore[method-assign]
    before = trials.run(Planned(1, "block_16_expand", settings, until=1))
    largest = second
    after = trials.run(Planned(2, "block_16_expand", settings, continues=1))
    assert after.failed is None
    assert len(after.epochs) == PHASE.epochs
    assert begun == expected
    if first == second:
        assert after.epochs[0] == before.epochs[0]


def test_later_trials_need_no_more_memory_than_the_first(trials: Trials) -> None:
    """Each trial used to leave its graph behind, 20 MB of one as small as this."""
    resident = []
    for number in range(5):
        trials.run(Planned(number, "block_15_expand", {"learning_rate": 1e-3 / (1 + number)}))
        resident.append(resident_mb())
    assert resident[4] - resident[0] < 20


def test_weights_take_no_more_room_than_they_may(tmp_path: Path) -> None:
    trials = make_trials(tmp_path, [], keep_states=True, max_gb=1e-9)
    trials.run(Planned(1, "none", {"learning_rate": 1e-3}))
    trials.drop_poor_states()
    assert not list(trials.folder.glob("*.npz"))
    assert np.isfinite(trials.find(1).score)  # type: ignore[index]
