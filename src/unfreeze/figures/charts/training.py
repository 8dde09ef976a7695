"""The training curves of all backbones."""

from unfreeze.figures.data import StudyData
from unfreeze.figures.lines import draw_training
from unfreeze.figures.parts import Chart
from unfreeze.figures.registry import register_study_chart


@register_study_chart("training", "Training curves", "training")
def draw_all_training(data: StudyData) -> list[Chart]:
    """Return accuracy and loss over the epochs of both phases."""
    histories = {name: backbone.history for name, backbone in data.backbones.items()}
    return [draw_training(histories, metric, data.names) for metric in ("accuracy", "loss")]
