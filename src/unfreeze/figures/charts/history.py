"""The training curves of a backbone."""

from unfreeze.figures.data import BackboneData
from unfreeze.figures.lines import draw_training
from unfreeze.figures.parts import Chart
from unfreeze.figures.registry import register_backbone_chart


@register_backbone_chart("history", "Training curves")
def draw_history(data: BackboneData) -> list[Chart]:
    """Return accuracy and loss over the epochs of both phases."""
    return [draw_training({data.name: data.history}, metric, [data.name]) for metric in ("accuracy", "loss")]
