"""Write the study for people, pull requests and machines, and complete its run in the tracker."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from unfreeze.errors import UnfreezeError
from unfreeze.paths import Paths
from unfreeze.runtime import console
from unfreeze.settings.stage_settings import declare_param
from unfreeze.stages.tracker import Tracker


@dataclass(frozen=True)
class Settings:
    """What the stage uses of params.yaml."""

    backbones: tuple[str, ...] = declare_param("study.backbones")


def run(
    settings: Settings, paths: Paths, tracker: Tracker, write_reports: Callable[[Paths, Sequence[str]], Any]
) -> None:
    """Write reports/ and log them.

    Args:
        settings: The stage's.
        paths: The checkout.
        tracker: Logs the report and what is still missing.
        write_reports: Writes the reports and returns the study; the command line hands it in.
    """
    study = write_reports(paths, settings.backbones)
    tracker.log_study(settings.backbones)
    if errors := [found for found in study.verdict.findings if found.level == "error"]:
        told = "; ".join(f"{found.backbone}: {found.what} ({found.cause})" for found in errors)
        raise UnfreezeError(f"{told}. {errors[0].remedy}. The report is {paths.report_html}")
    console.log.info("the report is %s, `make ui` shows the runs", paths.report_html.relative_to(paths.root))
