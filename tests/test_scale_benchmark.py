"""The benchmark of how a study grows, with a hundred generated rows."""

from pathlib import Path

from benchmarks import later_stages, scale

from tests.conftest import Checkout
from unfreeze import files
from unfreeze.paths import Paths
from unfreeze.records.verdict import Verdict


def test_stages_after_the_split_read_what_is_generated(studied: Checkout, tmp_path: Path) -> None:
    runs = scale.run_later_stages(tmp_path, 100, studied.paths, ("suspects", "verdict"))
    assert list(runs) == ["suspects", "verdict"]
    # No bounds: a process's peak is at least what the one that starts it held, and in tests a small program stands
    # for the command, whose work another process does.
    assert all(run.seconds > 0 and run.peak_mb > 0 for run in runs.values())
    (paths,) = map(Paths, tmp_path.glob("later_100-*"))
    verdict = Verdict.read(paths.verdict)
    assert verdict.test_images == 20
    assert sorted(row.backbone for row in verdict.rows) == sorted(later_stages.BACKBONES)
    assert all(0.5 < row.accuracy.value <= 1 for row in verdict.rows)
    # Each label of the training and the validation fold has an opinion.
    assert len(files.read_csv(paths.suspects)) == 80


def test_sections_that_are_kept_stay_as_they_are() -> None:
    committed = scale.PAGE.read_text()
    sections = scale.read_sections(committed)
    assert tuple(sections) == scale.SECTIONS
    # The header names the machine.
    assert scale.write_page(sections).split("\n## ", 1)[1] == committed.split("\n## ", 1)[1]
