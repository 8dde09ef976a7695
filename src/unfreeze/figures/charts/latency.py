"""Accuracy and latency, one chart for each batch size."""

from unfreeze.figures.data import CostData
from unfreeze.figures.formats import format_digits
from unfreeze.figures.parts import Chart
from unfreeze.figures.registry import register_cost_chart
from unfreeze.figures.scatter import draw_scatter


@register_cost_chart("latency", "Accuracy and latency")
def draw_latency(data: CostData) -> list[Chart]:
    """Return accuracy by the milliseconds that an image takes."""
    batches = sorted({batch for cost in data.costs.values() for batch in cost.latency_ms}, key=int)
    return [
        chart
        for batch in batches
        for chart in draw_scatter(
            data,
            {name: cost.compute_milliseconds_per_image(batch) for name, cost in data.costs.items()},
            f"latency, batch {batch}",
            "milliseconds an image",
            format_digits,
        )
    ]
