"""Accuracy and the size of the model's file."""

from unfreeze.figures.data import CostData
from unfreeze.figures.formats import format_digits
from unfreeze.figures.parts import Chart
from unfreeze.figures.registry import register_cost_chart
from unfreeze.figures.scatter import draw_scatter


@register_cost_chart("size", "Accuracy and size of the model")
def draw_size(data: CostData) -> list[Chart]:
    """Return accuracy by megabytes."""
    sizes = {name: cost.size_mb for name, cost in data.costs.items()}
    return draw_scatter(data, sizes, "size of the model", "MB", format_digits)
