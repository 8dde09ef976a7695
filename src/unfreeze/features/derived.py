"""Activations that a training derives from the stored ones, and keeps for as long as it runs."""

from unfreeze import files
from unfreeze.paths import Paths


def remove(paths: Paths, backbone: str) -> None:
    """Remove what any process has derived for a backbone: one that is killed removes nothing itself."""
    of_any_worker = paths.derived_features(backbone, "*")
    for folder in (paths.derived_features(backbone), *of_any_worker.parent.glob(of_any_worker.name)):
        files.remove(folder)
