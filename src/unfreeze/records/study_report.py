"""reports/report.json: costs, uses of the test fold, data checks and provenance of a study's verdict."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from unfreeze import files
from unfreeze.errors import UnfreezeError
from unfreeze.paths import Paths
from unfreeze.records import test_evaluations, verdict
from unfreeze.records.corrections import Corrections
from unfreeze.records.costs import Latency, TrainingCost
from unfreeze.records.record import Record
from unfreeze.records.test_evaluations import FoldUse, ScoredModel
from unfreeze.records.test_scores import Evaluation, FeatureSample
from unfreeze.records.verdict import Row, StudySettings, Verdict


class Expectation(Record):
    """One expectation of a suite.

    Args:
        column: The column or check that it is about; None for expectations of a whole table.
        rule: Name of Great Expectations' expectation.
        level: How serious a failure is.
        success: Whether it was met.
        unexpected: Number of rows that did not meet it; 0 for expectations of a whole table.
    """

    column: str | None
    rule: str
    level: Literal["warning", "error"]
    success: bool
    unexpected: int

    @property
    def subject(self) -> str:
        """What it is about, for people."""
        return self.column or self.rule


class Suite(Record):
    """The content of metrics/checks/<suite>.json, with the suite's name.

    Args:
        suite: Its name.
        success: Whether no expectation of level `error` failed.
        warnings: Number of failed expectations of level `warning`.
        rows: Number of rows that were checked.
        expectations: All of them.
    """

    suite: str
    success: bool
    warnings: int
    rows: int
    expectations: tuple[Expectation, ...]

    @property
    def failed(self) -> list[Expectation]:
        """Expectations that were not met."""
        return [expectation for expectation in self.expectations if not expectation.success]


class ReportedRow(Row):
    """A backbone's row with its times."""

    cost: TrainingCost


class ReportedVerdict(Verdict):
    """The verdict with what differs from run to run or depends on other studies: times, and uses of the test fold.

    Args:
        test_evaluations: How often the test fold was used.
    """

    rows: tuple[ReportedRow, ...]
    test_evaluations: FoldUse

    def find_row(self, backbone: str) -> ReportedRow:
        """Return a backbone's row.

        Raises:
            UnfreezeError: It was not in the study.
        """
        row = super().find_row(backbone)
        assert isinstance(row, ReportedRow)
        return row


class DataChecks(Record):
    """The part of reports/report.json that earlier versions wrote in the same form.

    Args:
        checks: Results of the data checks.
    """

    checks: tuple[Suite, ...]


class Report(DataChecks):
    """The content of reports/report.json: what belongs to a study's verdict and is not in metrics/verdict.json.

    Args:
        study: What the study was about.
        costs: Costs of training and using each model, by backbone.
        feature_samples: By backbone, the images that learning curve, checks of features, most similar training
            images and suspect labels rest on; only where these are a sample.
        test_evaluations: How often the test fold was used.
        corrections: What corrections of labels changed.
        lineage: What the results were made from, by title: commit, digests, versions.
        links: Paths of the verdict and of other results by title, relative to the folder of report.json.
    """

    study: StudySettings
    costs: dict[str, TrainingCost]
    test_evaluations: FoldUse
    corrections: Corrections
    lineage: dict[str, str]
    links: dict[str, str]
    feature_samples: dict[str, FeatureSample] = Field(default={}, exclude_if=lambda samples: not samples)


def read(paths: Paths) -> ReportedVerdict:
    """Return the last study's verdict with its times and the uses of its test fold.

    Args:
        paths: The checkout.

    Raises:
        UnfreezeError: No study has run, or another one was begun after it, which removes its records.
    """
    found = verdict.read(paths)
    try:
        scored = list_scored_models(paths, [row.backbone for row in found.rows])
        rows = tuple(ReportedRow(**{**dict(row), "cost": _read_cost(paths, row)}) for row in found.rows)
    except FileNotFoundError as error:
        raise UnfreezeError(
            f"{Path(error.filename).relative_to(paths.root)} is missing, as where another study was begun and not "
            "finished: `dvc repro` finishes it, and `git checkout params.yaml dvc.lock metrics reports` has the "
            "committed one back"
        ) from error
    use = test_evaluations.count(paths, scored)
    return ReportedVerdict(**{**dict(found), "rows": rows, "test_evaluations": use})


def find_newer_inputs(paths: Paths) -> list[str]:
    """Return what the results in reports/ were not computed from, as where a later study was interrupted.

    Args:
        paths: The checkout.

    Returns:
        Paths relative to the checkout; none where nothing is known of the results.
    """
    if not paths.report_json.exists():
        return []
    made_from = Report.read(paths.report_json).lineage
    present = {"parameters": paths.params, "data": paths.manifest}
    return [
        str(path.relative_to(paths.root))
        for title, path in present.items()
        if path.exists() and made_from.get(title) != files.hash_file(path)
    ]


def list_scored_models(paths: Paths, backbones: Iterable[str]) -> list[ScoredModel]:
    """Return the models of a study that were scored on its test fold.

    Args:
        paths: The checkout.
        backbones: The study's.
    """
    return [one for name in backbones for one in Evaluation.read(paths.evaluation(name)).test_evaluations]


def _read_cost(paths: Paths, row: Row) -> TrainingCost:
    seconds = files.read_json(paths.training_time(row.backbone))["seconds"]
    latency = Latency.read(paths.cost(row.backbone))
    return TrainingCost(**dict(row.cost), **dict(latency), training_seconds=seconds)


def describe_schema() -> dict[str, Any]:
    """Return the JSON schema of reports/report.json, as docs/report.schema.json holds it."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **Report.model_json_schema(mode="serialization"),
    }
