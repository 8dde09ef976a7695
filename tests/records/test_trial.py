"""What trials of a search took."""

from typing import Any

from unfreeze.records.trial import Epoch, Trial, list_trained

EPOCH = Epoch(loss=1, accuracy=0.5, val_loss=1, val_accuracy=0.5)


def trial(number: int, epochs: int, **changes: Any) -> Trial:
    return Trial(
        trial=number, unfreeze_from="block1", unfreeze_point=7, settings={}, continues=None,
        epochs=(EPOCH,) * epochs, failed=None,
    ).model_copy(update=changes)  # fmt: skip


def test_epochs_that_a_trial_inherits_are_those_of_the_trial_before() -> None:
    trials = [trial(0, 2), trial(1, 3), trial(2, 9, continues=1), trial(3, 0, failed="out of memory")]
    assert list_trained(trials) == [(7, 2), (7, 3), (7, 6), (7, 0)]
