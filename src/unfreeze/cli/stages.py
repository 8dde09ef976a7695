"""The commands that DVC runs: one a stage of dvc.yaml."""

import argparse
import importlib
import inspect
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import unfreeze
from unfreeze import files
from unfreeze.errors import UnfreezeError
from unfreeze.paths import Paths
from unfreeze.planning import measurements
from unfreeze.planning.measurements import measure_stage
from unfreeze.runtime import console
from unfreeze.runtime.imports import pause_collector
from unfreeze.settings.params import Params, load
from unfreeze.settings.stage_settings import select

# What dvc.yaml's command of a stage that runs once a backbone names.
BACKBONE = "${item.backbone}"


def add(commands: Any) -> None:
    """Add one command a stage, with its description from dvc.yaml.

    Args:
        commands: What `ArgumentParser.add_subparsers` returned.
    """
    for name, stage in read_stages(Paths.here()).items():
        command = commands.add_parser(name, help=stage["desc"], description=stage["desc"])
        if BACKBONE in stage["cmd"]:
            command.add_argument("backbone")
        command.set_defaults(run=_run, stage=name)


def read_stages(paths: Paths) -> dict[str, dict[str, str]]:
    """Return the stages of dvc.yaml, in its order; none outside a checkout.

    Args:
        paths: The checkout.

    Raises:
        UnfreezeError: dvc.yaml was cut short.
    """
    if not paths.pipeline.exists():
        return {}
    content = files.read_yaml(paths.pipeline)
    stages: dict[str, dict[str, str]] = content.get("stages", {}) if isinstance(content, dict) else {}
    if not stages or not all(
        isinstance(stage, dict) and {"cmd", "desc"} <= stage.keys() for stage in stages.values()
    ):
        raise UnfreezeError(
            "dvc.yaml has no stages with `cmd` and `desc`, as if it was cut short: `git checkout dvc.yaml` takes the "
            "committed one"
        )
    return stages


def _run(options: argparse.Namespace) -> None:
    paths = Paths.here()
    require_own_code(paths)
    # The digest of the code needs no settings: what is wrong with them is said by `validate`.
    params = None if options.stage == "code" else load(paths.params)
    backbone = getattr(options, "backbone", None)
    _count_down(paths, options.stage, backbone, params)
    with measure_stage(paths, options.stage, backbone, params) as tell_begun:
        run_stage(options.stage, params, paths, backbone=backbone, tell_begun=tell_begun)


def _count_down(paths: Paths, name: str, backbone: str | None, params: Params | None) -> None:
    """Let progress bars show what is left of the study, if it was planned."""
    if params is None or not paths.plan.exists():
        return
    from unfreeze.planning.rest import read_rest

    planned = f"{name}@{backbone}" if backbone else name
    rest = read_rest(paths, planned, params.model_dump(mode="json"), measurements.read(paths.measurements))
    if rest is not None:
        console.count_down(rest.own, rest.after)


def run_stage(
    name: str,
    params: Params | None,
    paths: Paths,
    *,
    backbone: str | None = None,
    tell_begun: Callable[[], None] = lambda: None,
) -> None:
    """Run a stage with the settings that it declares, and hand it what its `run` names.

    Args:
        name: The stage.
        params: All of params.yaml; None for a stage without settings.
        paths: The checkout.
        backbone: The backbone, for a stage that runs once a backbone.
        tell_begun: Called when all is loaded and the stage's own work begins.
    """
    with pause_collector():
        stage: Any = importlib.import_module(f"unfreeze.stages.{name}")
    wanted = inspect.signature(stage.run).parameters
    possible: dict[str, Any] = {"paths": paths, "backbone": backbone}
    with ExitStack() as stack:
        if params is not None:
            possible["settings"] = params if stage.Settings is Params else select(params, stage.Settings)
            if "tracker" in wanted:
                from unfreeze.tracking.stage_tracker import open_tracker

                possible["tracker"] = stack.enter_context(open_tracker(paths, params.tracking.experiment))
            if "cluster" in wanted:
                from unfreeze.cluster.launch import make_cluster

                possible["cluster"] = make_cluster(params.cluster, paths)
        if "write_reports" in wanted:
            from unfreeze.report.write import write_reports

            possible["write_reports"] = write_reports
        tell_begun()
        stage.run(**{name: value for name, value in possible.items() if name in wanted})


def require_own_code(paths: Paths) -> None:
    """Refuse to compute results with code that is not the checkout's, since DVC and MLflow record the checkout's.

    Args:
        paths: The checkout.

    Raises:
        UnfreezeError: The package was imported from elsewhere.
    """
    running = Path(unfreeze.__file__).resolve().parent
    own = (paths.root / "src" / "unfreeze").resolve()
    if running != own:
        raise UnfreezeError(
            f"the code that runs is {running}, but DVC records {own}: run stages through `dvc repro`, "
            f"or set PYTHONPATH={own.parent}"
        )
