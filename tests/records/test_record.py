"""Records are read and written byte for byte; what does not fit is refused in one line."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from tests.conftest import PROJECT
from unfreeze import files
from unfreeze.errors import UnfreezeError
from unfreeze.paths import Paths
from unfreeze.records.interval import Interval
from unfreeze.records.learning_curves import LearningCurve
from unfreeze.records.pretrained_weights import PretrainedWeights
from unfreeze.records.record import Record
from unfreeze.records.test_scores import Evaluation
from unfreeze.records.trial import SearchResult
from unfreeze.records.verdict import ClassScores, Verdict

COMMITTED = Paths(PROJECT)
FILES: list[tuple[type[Record], Path]] = [
    (Verdict, COMMITTED.verdict),
    (SearchResult, COMMITTED.search("xception")),
    (SearchResult, COMMITTED.search("from_scratch")),
    (Evaluation, COMMITTED.evaluation("xception")),
    (LearningCurve, COMMITTED.learning_curve("xception")),
    (PretrainedWeights, COMMITTED.weights_record("xception")),
]


@pytest.mark.parametrize(("kind", "path"), FILES, ids=lambda value: getattr(value, "stem", None))
def test_a_committed_file_is_read_and_written_byte_for_byte(tmp_path: Path, kind: type[Record], path: Path) -> None:
    kind.read(path).write(tmp_path / "again.json")
    assert (tmp_path / "again.json").read_bytes() == path.read_bytes()


def test_what_does_not_fit_is_named_with_its_place_and_the_remedy(tmp_path: Path) -> None:
    files.write_json(tmp_path / "interval.json", {"value": "much", "low": 0.1, "high": 0.2})
    with pytest.raises(UnfreezeError, match=r"interval.json is not .*\(value: .*valid number.*`dvc repro`"):
        Interval.read(tmp_path / "interval.json")


def test_the_marks_of_a_merge_conflict_are_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "interval.json").write_text('{\n<<<<<<< HEAD\n "value": 1\n=======\n')
    with pytest.raises(UnfreezeError) as refused:
        Interval.read(tmp_path / "interval.json")
    assert "\n" not in str(refused.value)


def test_no_number_is_not_a_value() -> None:
    with pytest.raises(ValidationError, match="finite"):
        Interval(value=float("nan"), low=0.0, high=1.0)


def test_three_nulls_of_an_earlier_version_are_a_missing_score() -> None:
    missing = {"value": None, "low": None, "high": None}
    read = ClassScores.model_validate({"precision": missing, "recall": missing, "f1": None, "support": 0})
    assert (read.precision, read.recall, read.f1) == (None, None, None)
