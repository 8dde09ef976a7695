"""The accuracy of a backbone on corrupted test images."""

import altair as alt
import pandas as pd

from unfreeze.figures import encodings, vega
from unfreeze.figures.data import BackboneData
from unfreeze.figures.formats import NONE, format_percent
from unfreeze.figures.parts import Chart, Table
from unfreeze.figures.registry import register_backbone_chart


@register_backbone_chart("corruptions", "Corrupted images")
def draw_corruptions(data: BackboneData) -> list[Chart]:
    """Return accuracy by strength of each corruption; nothing where no image was corrupted."""
    scores = data.scores.corruptions
    if not scores:
        return []
    # Measured on the images that were corrupted, which can be a part of the test fold.
    clean = scores[0].accuracy + scores[0].drop.value
    kinds = list(dict.fromkeys(score.corruption for score in scores))
    rows = [{"corruption": kind, "strength": 0, "accuracy": clean} for kind in kinds]
    rows += [
        {"corruption": score.corruption, "strength": score.strength, "accuracy": score.accuracy} for score in scores
    ]
    frame = pd.DataFrame(rows)
    worst = min(scores, key=lambda score: score.accuracy)
    return [
        Chart(
            "Corrupted images",
            f"Accuracy of {data.name} on corrupted images: lowest {format_percent(worst.accuracy)} with "
            f"{worst.corruption} of strength {worst.strength}; {format_percent(clean)} on the same images without "
            "corruption.",
            _build_spec(frame, kinds),
            _tabulate(frame, kinds),
        )
    ]


def _build_spec(frame: pd.DataFrame, kinds: list[str]) -> dict[str, object]:
    marks = encodings.encode_names("corruption", kinds, "corruption")
    base = alt.Chart(vega.make_data(frame)).encode(
        x=alt.X("strength:Q", title="strength (0: no corruption)", axis=alt.Axis(tickMinStep=1, format="d")),
        y=encodings.encode_share("accuracy", "accuracy"),
        color=marks["color"],
    )
    tooltip = ["corruption:N", "strength:Q", alt.Tooltip("accuracy:Q", format=".1%")]
    return vega.build_spec(
        base.mark_line(strokeWidth=1.75),
        base.mark_point(filled=True, size=60, opacity=1).encode(shape=marks["shape"], tooltip=tooltip),
        height=280,
    )


def _tabulate(frame: pd.DataFrame, kinds: list[str]) -> Table:
    by_strength = frame.pivot(index="corruption", columns="strength", values="accuracy").loc[kinds]
    return Table(
        "Accuracy by corruption and strength",
        ["corruption", *(f"strength {strength}" for strength in by_strength.columns)],
        [
            [kind, *(NONE if pd.isna(value) else format_percent(value) for value in line)]
            for kind, line in zip(by_strength.index, by_strength.to_numpy(), strict=True)
        ],
    )
