"""Check params.yaml as a whole before anything runs, so that a mistyped key does not go unnoticed."""

from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel

from unfreeze import files
from unfreeze.checks import image_check
from unfreeze.models import quantized
from unfreeze.models.table import Row, check_size, check_weights, find_row
from unfreeze.paths import Paths
from unfreeze.runtime import console
from unfreeze.settings.base import ByBackbone
from unfreeze.settings.params import Params
from unfreeze.sources import collect, watched

# All of params.yaml: DVC compares the file as one.
Settings = Params


def run(settings: Params, paths: Paths) -> None:
    """Check that every backbone exists and takes the image size, and that the data is where it is said to be."""
    rows = [find_row(name) for name in settings.study.backbones]
    for row in rows:
        check_size(row, settings.preprocess.image_size)
        check_weights(row, settings.weights.get(row.name))
    for values in _iterate_by_backbone(settings):
        for name in sorted(set(values.root) - {"default"}):
            find_row(name)
    if settings.promote.floors:
        # Metrics load libraries that take longer than the stage.
        from unfreeze.evaluation.metric_registry import require_metrics

        require_metrics(settings.promote.floors, "promote.floors")
    if settings.extract.precision == "int8":
        quantized.require_nncf()
    collect.check_reachable(settings.data)
    # The next stage depends on it, and DVC hashes it before the stage runs.
    watched.require_hashable(settings.data.watch)
    for row in rows:
        if row.is_own:
            _build(row, settings)
    # The stage `check` depends on the first: dvc.yaml cannot list checks that are added later. The second is always
    # the same, so that a change of one parameter reruns only the stages that depend on it.
    image_check.write_settings(paths.image_checks, settings.checks.select(image_check.load_image_checks()))
    files.write_text(paths.params_valid, "params.yaml was checked\n")


def _iterate_by_backbone(section: BaseModel) -> Iterator[ByBackbone[Any]]:
    """Yield all settings that backbones may have values of their own for."""
    for _, value in section:
        if isinstance(value, ByBackbone):
            yield value
        elif isinstance(value, BaseModel):
            yield from _iterate_by_backbone(value)


def _build(row: Row, settings: Settings) -> None:
    """Build a backbone of one's own, so that what is wrong with it is said before any image is read."""
    console.import_tensorflow()
    from unfreeze.models.backbone import Backbone

    backbone = Backbone(row, settings.preprocess.image_size)
    backbone.find_first_trainable("auto")
    backbone.list_candidates(settings.unfreeze.candidates.get(row.name))
