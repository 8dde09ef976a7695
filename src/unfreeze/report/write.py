"""Write a study for people, pull requests and machines: the one place that reads all that stages have written."""

from collections.abc import Sequence

import pandas as pd

from unfreeze import files
from unfreeze.checks import gate
from unfreeze.figures.data import CostData, StudyData
from unfreeze.paths import Paths
from unfreeze.records import lineage, study_report, test_evaluations
from unfreeze.records.corrections import Corrections
from unfreeze.records.exported_model import read_recorded
from unfreeze.records.study_report import Suite
from unfreeze.report import page, text
from unfreeze.report.study import Study, join_report

# Suites that each backbone has its own of.
OF_BACKBONES = ("scaling", "features", "space", "predictions")


def read_study(paths: Paths, backbones: Sequence[str]) -> Study:
    """Read what the stages before have found out.

    Args:
        paths: Where they left it.
        backbones: The study's.
    """
    # Those of backbones that left the study lie there too.
    suites = [*gate.SUITES, *(f"{suite}_{name}" for name in backbones for suite in OF_BACKBONES)]
    verdict = study_report.read(paths)
    return Study(
        verdict=verdict,
        charts=CostData(StudyData.read(paths, backbones), {row.backbone: row.cost for row in verdict.rows}),
        mistakes={name: pd.read_parquet(paths.mistakes(name)) for name in backbones},
        checks=[Suite(suite=suite, **files.read_json(paths.checks(suite))) for suite in suites],
        lineage=lineage.describe_study(paths, backbones),
        corrections=Corrections.read(paths.correction_effects),
        exports=read_recorded(paths, backbones),
        links={"What the checks found": paths.findings_page.name, "Suspect labels": paths.suspects_page.name},
    )


def write_reports(paths: Paths, backbones: Sequence[str]) -> Study:
    """Write the report as a page, as Markdown and as JSON.

    Args:
        paths: Where the results are and the reports go.
        backbones: The study's.

    Returns:
        What was read.
    """
    # A stage that DVC restored from its run cache has written nothing down.
    test_evaluations.record(paths, study_report.list_scored_models(paths, backbones))
    study = read_study(paths, backbones)
    join_report(study).write(paths.report_json)
    files.write_text(paths.report_markdown, text.format_report(study))
    files.write_text(paths.report_html, page.build_page(study, kept=paths.planning))
    return study
