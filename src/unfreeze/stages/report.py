"""Write the study for people, pull requests and machines, and complete its run in MLflow."""

import pandas as pd

from unfreeze import console, files, lineage, plots, tracking
from unfreeze.params import Params
from unfreeze.paths import Paths
from unfreeze.report import page, text
from unfreeze.report.study import Study, content

PARAMS = ("study.backbones", "tracking")


def read(paths: Paths, backbones: list[str]) -> Study:
    """Read what the stages before have found out.

    Args:
        paths: Where they left it.
        backbones: The study's.
    """
    suites = sorted(paths.checks("x").parent.glob("*.json"))
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
        checks=[{"suite": path.stem, **files.read_json(path)} for path in suites],
        lineage=lineage.of_study(paths, backbones),
        links={"What the checks found": paths.findings_page.name, "Suspect labels": paths.suspects_page.name},
    )


def run(params: Params, paths: Paths) -> None:
    """Write reports/ and log them."""
    names = list(params.study.backbones)
    study = read(paths, names)
    plots.training_curves(study.histories, paths.curves_picture)
    files.write_json(paths.report_json, content(study))
    files.write_text(paths.report_markdown, text.markdown(study))
    files.write_text(paths.report_html, page.page(study))
    tracking.Ledger(paths, params.tracking.experiment).log_study(names)
    console.log.info("the report is %s, `make ui` shows the runs", paths.report_html.relative_to(paths.root))
