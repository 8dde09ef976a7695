"""The registry of charts: one entry is drawn on the page, as PNG and in MLflow from one Vega-Lite specification.

An entry is a function in a file of its own, in `unfreeze/figures/charts/` or in the checkout's `plugins/charts/`:

    from unfreeze.figures.registry import register_backbone_chart

    @register_backbone_chart("calibration", "Calibration")
    def draw_calibration(data: BackboneData) -> list[Chart]: ...

It may return several charts, which the page shows one after the other and a PNG side by side, or none where there is
nothing to show.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, Literal, TypeVar

from unfreeze.errors import UnfreezeError
from unfreeze.figures.data import BackboneData, CostData, StudyData
from unfreeze.figures.parts import Chart
from unfreeze.runtime.plugins import load_entries

# Parts of the page that show charts of the whole study; `more` holds charts that belong to no table.
Section = Literal["comparison", "pairs", "cost", "training", "curves", "more"]

Data = TypeVar("Data")
Draw = Callable[[Data], Sequence[Chart]]


@dataclass(frozen=True)
class Entry(Generic[Data]):
    """A kind of chart.

    Args:
        name: Part of the PNG's name: lower-case letters, digits and underscores.
        title: What the chart is called.
        draw: Returns the charts of a backbone or of a study.
        section: Where the page shows a study's charts.
    """

    name: str
    title: str
    draw: Draw[Data]
    section: Section = "more"


@dataclass(frozen=True)
class Registry:
    """All entries by what they are drawn from, each group sorted by name.

    Args:
        of_backbone: Drawn for each backbone.
        of_study: Drawn once, from all backbones.
        of_costs: Drawn once, on the page alone: measured times differ from run to run, and a PNG must not.
    """

    of_backbone: dict[str, Entry[BackboneData]] = field(default_factory=dict)
    of_study: dict[str, Entry[StudyData]] = field(default_factory=dict)
    of_costs: dict[str, Entry[CostData]] = field(default_factory=dict)


_REGISTRY = Registry()


def register_backbone_chart(name: str, title: str) -> Callable[[Draw[BackboneData]], Draw[BackboneData]]:
    """Register a function that draws one backbone.

    Args:
        name: Part of the PNG's name, plots/pictures/<backbone>_<name>.png.
        title: What the chart is called.
    """
    return lambda draw: _add(_REGISTRY.of_backbone, Entry(name, title, draw))


def register_study_chart(
    name: str, title: str, section: Section = "more"
) -> Callable[[Draw[StudyData]], Draw[StudyData]]:
    """Register a function that draws all backbones together.

    Args:
        name: Part of the PNG's name, plots/pictures/all_<name>.png.
        title: What the chart is called.
        section: Where the page shows it.
    """
    return lambda draw: _add(_REGISTRY.of_study, Entry(name, title, draw, section))


def register_cost_chart(
    name: str, title: str, section: Section = "cost"
) -> Callable[[Draw[CostData]], Draw[CostData]]:
    """Register a function that draws all backbones and their costs, for the page alone.

    Args:
        name: Name of the entry.
        title: What the chart is called.
        section: Where the page shows it.
    """
    return lambda draw: _add(_REGISTRY.of_costs, Entry(name, title, draw, section))


def load_charts() -> Registry:
    """Return all charts, those in the checkout's `plugins/charts/` too.

    Raises:
        UnfreezeError: A file there cannot be imported, or takes a name that is used already.
    """
    load_entries("charts", "unfreeze.figures.charts")
    return Registry(_sort(_REGISTRY.of_backbone), _sort(_REGISTRY.of_study), _sort(_REGISTRY.of_costs))


def _add(entries: dict[str, Entry[Data]], entry: Entry[Data]) -> Draw[Data]:
    if not entry.name.replace("_", "a").isalnum() or entry.name != entry.name.lower():
        raise UnfreezeError(f"chart name {entry.name!r}: use lower-case letters, digits and underscores")
    if entry.name in entries:
        raise UnfreezeError(f"chart {entry.name!r} is there already: choose another name")
    entries[entry.name] = entry
    return entry.draw


def _sort(entries: Mapping[str, Entry[Data]]) -> dict[str, Entry[Data]]:
    return {name: entries[name] for name in sorted(entries)}
