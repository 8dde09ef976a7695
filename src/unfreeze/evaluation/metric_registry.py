"""The registry of metrics: what the verdict, the report's tables, Markdown and MLflow show of a backbone."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

from unfreeze.errors import UnfreezeError
from unfreeze.evaluation.fold import Fold
from unfreeze.records.interval import Interval
from unfreeze.runtime.plugins import load_entries

Unit = Literal["percent", "decimal"]


@dataclass(frozen=True)
class Metric:
    """A score of predicted probabilities on a fold.

    Args:
        name: Key in metrics/verdict.json and, after `test_`, in MLflow.
        title: Heading of its column.
        interval: Returns the score with its interval; None where the fold does not define it.
        unit: How it is written: 96.4 % or 0.964.
        higher_is_better: Its direction.
        in_summary: Whether the short table in Markdown has it, too.
        position: Place among the metrics, ascending; equal places go by name.
    """

    name: str
    title: str
    interval: Callable[[Fold], Interval | None]
    unit: Unit = "decimal"
    higher_is_better: bool = True
    in_summary: bool = True
    position: int = 100


_METRICS: dict[str, Metric] = {}


def register(metric: Metric) -> Metric:
    """Add a metric to the registry.

    Raises:
        UnfreezeError: There is one of this name.
    """
    if metric.name in _METRICS:
        raise UnfreezeError(f"metric {metric.name!r} is registered twice: give one of the two another name")
    _METRICS[metric.name] = metric
    return metric


def list_metrics() -> list[Metric]:
    """Return all metrics by position: the package's own, and those of `plugins/metrics/`.

    >>> [metric.name for metric in list_metrics()][:3]
    ['accuracy', 'balanced_accuracy', 'macro_f1']
    """
    load_entries("metrics", "unfreeze.evaluation.metrics")
    return sorted(_METRICS.values(), key=lambda metric: (metric.position, metric.name))


def score_metrics(fold: Fold) -> dict[str, Interval | None]:
    """Return each metric of a fold with its interval, by name."""
    return {metric.name: metric.interval(fold) for metric in list_metrics()}


def require_metrics(names: Iterable[str], setting: str) -> None:
    """Refuse names that no metric has.

    Args:
        names: Those given.
        setting: Where they were given, for the message.

    Raises:
        UnfreezeError: There is no such metric.
    """
    known = [metric.name for metric in list_metrics()]
    if unknown := sorted(set(names) - set(known)):
        raise UnfreezeError(
            f"{setting} names {', '.join(unknown)}, which is no metric: take some of {', '.join(known)}"
        )
