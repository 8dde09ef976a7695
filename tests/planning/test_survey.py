"""What is recalled of earlier runs."""

from pathlib import Path

from tests.conftest import compose
from unfreeze.paths import Paths
from unfreeze.planning.measurements import Measurement
from unfreeze.planning.survey import recall_runs


def test_a_backbone_that_can_no_longer_be_built_leaves_the_memory_of_all_others(tmp_path: Path) -> None:
    settings = compose(tmp_path / "params.yaml").model_dump(mode="json")
    known = [
        Measurement(
            stage="extract", backbone=name, machine="here", begun=0, seconds=60, peak_mb=900, images=2000,
            raw_bytes=None, backbones=1, seeds=0, settings=settings,
        )
        for name in ("from_scratch", "renamed", "from_scratch")
    ]  # fmt: skip
    recalled = recall_runs(Paths(tmp_path), known)
    assert [past.job.stage for past in recalled] == ["extract", "extract"]
    assert {past.backbone for past in recalled} == {"from_scratch"}
