"""The precision-recall curves of a backbone, one curve a class."""

from unfreeze.figures.data import BackboneData
from unfreeze.figures.lines import PRECISION_RECALL, Words, choose_classes, draw_threshold_curves
from unfreeze.figures.parts import Chart
from unfreeze.figures.registry import register_backbone_chart

MOST_POINTS = 60


@register_backbone_chart("precision_recall", "Precision-recall curves")
def draw_precision_recall(data: BackboneData) -> list[Chart]:
    """Return the curves of the classes with the lowest recall, each class against all others."""
    names = choose_classes(data.classes, {name: of.recall for name, of in data.scores.classes.items()})
    words = Words(
        "Precision-recall curves", f"Precision-recall curves of {data.name}, each class against all others."
    )
    of = {name: data.precision_recall[data.precision_recall["class"] == name] for name in names}
    return draw_threshold_curves(of, PRECISION_RECALL, "class", names, words, most_points=MOST_POINTS)
