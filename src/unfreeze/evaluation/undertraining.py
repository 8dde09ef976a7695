"""Undertraining: whether a backbone's best result lies at an end of what was tried, so that more may be gained."""

from collections.abc import Collection, Iterator
from typing import NamedTuple

import pandas as pd

from unfreeze.records.finding import Finding
from unfreeze.records.trial import SearchResult, Trial


class End(NamedTuple):
    """An end of what was tried that the best result lies at, and the setting that moves it."""

    what: str
    setting: str


def describe_undertraining(backbone: str, history: pd.DataFrame, search: SearchResult) -> list[Finding]:
    """Return what the report says of results at an end of what was tried; nothing where there is none.

    That is so where fine-tuning was best after its last epoch, where the search's winner has the deepest of several
    unfreeze points, and where it has the highest of several learning rates.

    Args:
        backbone: The backbone.
        history: Content of plots/history/<backbone>.csv: `phase` and `val_loss` of each epoch.
        search: Content of metrics/search/<backbone>.json.
    """
    ends = [*_find_last_epoch(history), *_find_ends_of_search(search)]
    if not ends:
        return []
    return [
        Finding(
            backbone=backbone,
            check="undertrained",
            level="warning",
            what="; ".join(end.what for end in ends),
            cause="the best result lies at an end of what was tried: more may be gained beyond",
            remedy=f"for {backbone} {', '.join(end.setting for end in ends)}",
        )
    ]


def _find_last_epoch(history: pd.DataFrame) -> Iterator[End]:
    losses = history.loc[history["phase"] == "fine-tuning", "val_loss"].to_list()
    # A single epoch has nothing to compare it with.
    if len(losses) > 1 and min(losses) == losses[-1] < losses[-2]:
        yield End(
            f"fine-tuning was best after the last of its {len(losses)} epochs",
            "raise the epochs of train.finetune, or study.minutes if that ended them",
        )


def _find_ends_of_search(search: SearchResult) -> Iterator[End]:
    best = search.best
    scored = [trial for trial in search.trials if trial.score is not None]
    if best is None:
        return
    trained = {trial.unfreeze_from: trial.trainable_parameters or 0 for trial in scored}
    if _is_highest(trained[best.unfreeze_from], trained.values()) and best.unfreeze_point != "all":
        yield End(
            f"{best.unfreeze_from} was the deepest of {len(trained)} unfreeze points that were tried",
            "raise search.deeper, or study.minutes if that ended the search, or add a deeper point to "
            "unfreeze.candidates",
        )
    rates = {rate for trial in scored if (rate := _read_rate(trial)) is not None}
    if (rate := _read_rate(best)) is not None and _is_highest(rate, rates):
        yield End(
            f"{rate:.2g} was the highest of {len(rates)} learning rates that were tried",
            "raise the maximum of search.learning_rate",
        )


def _is_highest(value: float, tried: Collection[float]) -> bool:
    return len(set(tried)) > 1 and value == max(tried)


def _read_rate(trial: Trial) -> float | None:
    rate: float | None = trial.settings.get("learning_rate")
    return rate
