"""Accuracy and multiply-accumulate operations."""

from unfreeze.figures.data import CostData
from unfreeze.figures.formats import format_scaled
from unfreeze.figures.parts import Chart
from unfreeze.figures.registry import register_cost_chart
from unfreeze.figures.scatter import draw_scatter


@register_cost_chart("multiply_adds", "Accuracy and multiply-adds")
def draw_multiply_adds(data: CostData) -> list[Chart]:
    """Return accuracy by multiply-accumulate operations an image."""
    operations = {name: cost.multiply_accumulates for name, cost in data.costs.items()}
    return draw_scatter(data, operations, "multiply-adds", "multiply-adds an image", format_scaled)
