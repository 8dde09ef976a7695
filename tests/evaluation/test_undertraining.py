from typing import Any

import pandas as pd
import pytest

from unfreeze.evaluation.undertraining import describe_undertraining
from unfreeze.records.trial import SearchResult, Trial


def trial(number: int, point: str, rate: float | None, trained: int, score: float | None) -> Trial:
    return Trial(
        trial=number, unfreeze_from=point, unfreeze_point="all" if point == "all" else number,
        settings={} if rate is None else {"learning_rate": rate}, continues=None, epochs=(),
        failed=None if score is not None else "out of memory", trainable_parameters=trained, score=score,
    )  # fmt: skip


def search(*trials: Trial) -> SearchResult:
    scored = [each for each in trials if each.score is not None]
    best = min(scored, key=lambda each: each.score or 0.0, default=None)
    return SearchResult(best=best, gain_over_configured=None, trials=trials)


def describe(losses: list[float], found: SearchResult) -> list[Any]:
    rows = [("head", 0.9), ("head", 0.8), *(("fine-tuning", loss) for loss in losses)]
    return describe_undertraining("vgg16", pd.DataFrame(rows, columns=["phase", "val_loss"]), found)


@pytest.mark.parametrize(
    ("losses", "is_found"), [([0.5, 0.4, 0.3], True), ([0.5, 0.3, 0.4], False), ([0.3], False), ([], False)]
)
def test_training_that_was_best_in_the_end_is_named(losses: list[float], is_found: bool) -> None:
    findings = describe(losses, search())
    assert [each.what for each in findings] == ["fine-tuning was best after the last of its 3 epochs"] * is_found
    assert all(
        each.remedy == "for vgg16 raise the epochs of train.finetune, or study.minutes if that ended them"
        for each in findings
    )


@pytest.mark.parametrize(
    ("trials", "what"),
    [
        ([("block5", 1e-4, 5, 0.4), ("block4", 5e-5, 9, 0.3)], "block4 was the deepest of 2 unfreeze points"),
        ([("block5", 1e-4, 5, 0.4), ("block5", 2e-4, 5, 0.3)], "0.0002 was the highest of 2 learning rates"),
        ([("block5", 1e-4, 5, 0.3), ("block4", 2e-4, 9, 0.4)], None),
        # Nothing lies deeper than the whole network.
        ([("block5", 1e-4, 5, 0.4), ("all", 5e-5, 20, 0.3)], None),
        # One point or one rate has nothing beside it, and a trial that failed is none.
        ([("block5", 1e-4, 5, 0.3), ("block4", 2e-4, 9, None)], None),
        ([("block5", None, 5, 0.3), ("block5", None, 5, 0.4)], None),
    ],
)
def test_a_winner_at_an_end_of_the_search_is_named(trials: list[tuple[Any, ...]], what: str | None) -> None:
    findings = describe([0.3, 0.4], search(*(trial(number, *each) for number, each in enumerate(trials, 1))))
    assert [each.what.startswith(what or "") for each in findings] == [True] * (what is not None)


def test_all_ends_are_one_finding_with_all_settings() -> None:
    found = search(trial(1, "block5", 1e-4, 5, 0.4), trial(2, "block4", 2e-4, 9, 0.3))
    (finding,) = describe([0.5, 0.4], found)
    assert finding.what.count("; ") == 2
    assert finding.remedy == (
        "for vgg16 raise the epochs of train.finetune, or study.minutes if that ended them, raise search.deeper, or "
        "study.minutes if that ended the search, or add a deeper point to unfreeze.candidates, raise the maximum of "
        "search.learning_rate"
    )
