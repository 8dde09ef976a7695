"""The ROC curves of a backbone, one curve a class."""

from unfreeze.figures.data import BackboneData
from unfreeze.figures.formats import format_decimal
from unfreeze.figures.lines import ROC, Words, choose_classes, draw_threshold_curves
from unfreeze.figures.parts import Chart
from unfreeze.figures.registry import register_backbone_chart

MOST_POINTS = 60


@register_backbone_chart("roc", "ROC curves")
def draw_roc(data: BackboneData) -> list[Chart]:
    """Return the curves of the classes with the lowest recall, each class against all others."""
    names = choose_classes(data.classes, {name: of.recall for name, of in data.scores.classes.items()})
    auc = f"AUC {format_decimal(data.scores.auc)}, mean over classes."
    words = Words("ROC curves", f"ROC curves of {data.name}. {auc}", [auc, "Dashed: chance."])
    of = {name: data.roc[data.roc["class"] == name] for name in names}
    return draw_threshold_curves(of, ROC, "class", names, words, most_points=MOST_POINTS)
