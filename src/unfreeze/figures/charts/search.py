"""The search of a backbone: scores by unfreeze point and learning rate, and by trial."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt
import pandas as pd

from unfreeze.figures import vega
from unfreeze.figures.data import BackboneData
from unfreeze.figures.formats import format_count, format_decimal, format_rate
from unfreeze.figures.parts import Chart, Table
from unfreeze.figures.registry import register_backbone_chart
from unfreeze.records.trial import Trial

# Height of a row of unfreeze points, and least height of the plot, pixels.
ROW_HEIGHT = 30
HEIGHT = 200
FEW_TRIALS = 10
SCORE = "score: smoothed validation loss"


@register_backbone_chart("search", "Search")
def draw_search(data: BackboneData) -> list[Chart]:
    """Return the trials of a search; nothing where the search was off."""
    trials = data.search.trials
    if not trials:
        return []
    failed = sum(trial.failed is not None for trial in trials)
    description = f"{len(trials)} trials of {data.name}, {failed} failed."
    frame = pd.DataFrame(
        {
            "trial": trial.trial,
            "point": trial.unfreeze_from,
            "rate": trial.settings["learning_rate"],
            "score": trial.score,
            "outcome": "scored" if trial.failed is None else "failed",
        }
        for trial in trials
    )
    points = _sort_points(trials)
    table = Table(
        "Trials",
        ["unfrozen from", "trial", "learning rate", "score"],
        [_list_cells(row) for row in frame.to_dict("records")],
    )
    by_point = Chart(
        "Search: unfreeze point and learning rate",
        f"Scores by unfreeze point and learning rate: {description}",
        _build_points_spec(frame, points),
        table,
        [f"{_describe_depth(frame['score'].dropna())}Crosses: failed trials."],
    )
    scored = frame[frame["outcome"] == "scored"].drop(columns=["outcome", "point", "rate"])
    by_trial = Chart(
        "Search: score by trial",
        f"Scores in the order of trials: {description}",
        _build_trials_spec(scored.assign(best=scored["score"].cummin())),
        table,
        ["Trial 0 has the configured settings. Line: best score so far."],
    )
    return [by_point, by_trial] if len(scored) else [by_point]


def _sort_points(trials: Sequence[Trial]) -> list[str]:
    """Return the names of the unfreeze points that were tried, from the top of the backbone down."""
    # `none` freezes every layer and `all` freezes none; any other point is the index of the first trained layer.
    first_trained = {
        trial.unfreeze_from: {"none": math.inf, "all": 0}.get(str(trial.unfreeze_point), trial.unfreeze_point)
        for trial in trials
    }
    return sorted(first_trained, key=lambda name: -float(str(first_trained[name])))


def _build_points_spec(frame: pd.DataFrame, points: Sequence[str]) -> dict[str, Any]:
    scores = frame["score"].dropna()
    # The style sheet's variables have no colours between them, so the depth of one colour shows the score.
    depth = alt.FillOpacity(
        "score:Q",
        scale=alt.Scale(range=[1, 0.1], domain=_widen(scores)),
        legend=None,
    )
    base = alt.Chart(vega.make_data(frame)).encode(
        x=alt.X("rate:Q", title="learning rate", scale=alt.Scale(type="log", padding=12), axis=_RATES),
        y=alt.Y("point:N", title="unfrozen from", sort=list(points), axis=alt.Axis(labelLimit=140, grid=True)),
        tooltip=["trial:Q", "point:N", alt.Tooltip("rate:Q", format=".2e"), alt.Tooltip("score:Q", format=".4f")],
    )
    scored = base.transform_filter(alt.datum.outcome == "scored")
    failed = base.transform_filter(alt.datum.outcome == "failed")
    dot = {"color": "var(--series-1)", "filled": True, "strokeWidth": 1, "stroke": "var(--series-1)"}
    layers = {
        "scored": scored.mark_point(size=110, **dot).encode(fillOpacity=depth),
        "failed": failed.mark_point(shape="cross", angle=45, size=90, color="var(--muted)", filled=True),
    }
    # Vega warns of a layer without data.
    shown = [layer for outcome, layer in layers.items() if (frame["outcome"] == outcome).any()]
    return vega.build_spec(*shown, height=max(HEIGHT, ROW_HEIGHT * len(points)))


def _build_trials_spec(scored: pd.DataFrame) -> dict[str, Any]:
    last = int(scored["trial"].max())
    # With few trials Vega would also put ticks between them.
    axis = alt.Axis(values=list(range(last + 1))) if last < FEW_TRIALS else alt.Axis(tickMinStep=1)
    base = alt.Chart(vega.make_data(scored)).encode(x=alt.X("trial:Q", title="trial", axis=axis))
    score = {"title": SCORE, "scale": alt.Scale(zero=False)}
    return vega.build_spec(
        base.mark_line(style="only", interpolate="step-after", strokeWidth=1.75).encode(y=alt.Y("best:Q", **score)),
        base.mark_point(style="only", filled=True, size=60, opacity=0.75).encode(
            y=alt.Y("score:Q", **score), tooltip=["trial:Q", alt.Tooltip("score:Q", format=".4f")]
        ),
        height=HEIGHT,
    )


_RATES = alt.Axis(format=".0e", tickCount=4, grid=False)


def _widen(scores: pd.Series) -> list[float]:
    """Return the ends of the scale of scores, which differ also where all scores are equal."""
    low, high = (float(scores.min()), float(scores.max())) if len(scores) else (0.0, 1.0)
    return [low, high] if high > low else [low, low + 1]


def _describe_depth(scores: pd.Series) -> str:
    """Return what the depth of the colour means, with a space at the end; nothing where no trial has a score."""
    if scores.empty:
        return ""
    least, most = format_decimal(scores.min()), format_decimal(scores.max())
    return f"The darker, the lower (better) the score: {least} to {most}. "


def _list_cells(row: Mapping[Any, Any]) -> list[str]:
    score = format_decimal(_to_number(row["score"]))
    return [row["point"], format_count(row["trial"]), format_rate(row["rate"]), score]


def _to_number(value: Any) -> float | None:
    return None if pd.isna(value) else float(value)
