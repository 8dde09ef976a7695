"""Write the study for people, pull requests and machines, and complete its run in MLflow."""

import pandas as pd

from unfreeze import files
from unfreeze.checks import gate
from unfreeze.errors import UnfreezeError
from unfreeze.figures.training import training_curves
from unfreeze.paths import Paths
from unfreeze.records import lineage
from unfreeze.report import page, text
from unfreeze.report.study import Study, content
from unfreeze.runtime import console
from unfreeze.settings.params import Params
from unfreeze.tracking.ledger import Ledger

PARAMS = ("study.backbones", "tracking")

# Suites that each backbone has its own of.
OF_BACKBONES = ("scaling", "features", "space", "predictions")


def read(paths: Paths, backbones: list[str]) -> Study:
    """Read what the stages before have found out.

    Args:
        paths: Where they left it.
        backbones: The study's.
    """
    # Those of backbones that left the study lie there too.
    suites = [*gate.SUITES, *(f"{suite}_{name}" for name in backbones for suite in OF_BACKBONES)]
    return Study(
        verdict=files.read_json(paths.verdict),
        histories={name: pd.read_csv(paths.history(name)) for name in backbones},
        roc={name: pd.read_csv(paths.roc(name), dtype={"class": str}, keep_default_na=False) for name in backbones},
        precision_recall={
            name: pd.read_csv(paths.precision_recall(name), dtype={"class": str}, keep_default_na=False)
            for name in backbones
        },
        reliability={name: pd.read_csv(paths.reliability(name)) for name in backbones},
        mistakes={name: pd.read_parquet(paths.mistakes(name)) for name in backbones},
        checks=[{"suite": suite, **files.read_json(paths.checks(suite))} for suite in suites],
        lineage=lineage.of_study(paths, backbones),
        links={"What the checks found": paths.findings_page.name, "Suspect labels": paths.suspects_page.name},
    )


def run(params: Params, paths: Paths) -> None:
    """Write reports/ and log them."""
    names = list(params.study.backbones)
    study = read(paths, names)
    training_curves(study.histories, paths.curves_picture)
    files.write_json(paths.report_json, content(study))
    files.write_text(paths.report_markdown, text.markdown(study))
    files.write_text(paths.report_html, page.page(study))
    Ledger(paths, params.tracking.experiment).log_study(names)
    if errors := [found for found in study.verdict["findings"] if found["level"] == "error"]:
        told = "; ".join(f"{found['backbone']}: {found['what']} ({found['cause']})" for found in errors)
        raise UnfreezeError(f"{told}. {errors[0]['remedy']}. The report is {paths.report_html}")
    console.log.info("the report is %s, `make ui` shows the runs", paths.report_html.relative_to(paths.root))
