"""The command that says what a study will run, why, and what that takes, before it is run."""

import argparse
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from unfreeze import dvc_repo
from unfreeze.cli.study import tell
from unfreeze.errors import UnfreezeError
from unfreeze.paths import Paths
from unfreeze.runtime import console
from unfreeze.settings.params import Params, load

if TYPE_CHECKING:
    from unfreeze.planning.plan import Plan, PlannedStage

# Where the output is not a terminal each reason has one line.
WIDTH = 200
MB_A_GB = 1000
REPEATS = (
    "What is missing here is expected to come out as dvc.lock has it, as it does on the same kind of processor; "
    "where it does not, what follows on it runs too."
)
SECONDS_A_MINUTE = 60


def add(commands: Any) -> None:
    """Add the command to the parser's.

    Args:
        commands: What `ArgumentParser.add_subparsers` returned.
    """
    plan = commands.add_parser("plan", help="say which stages will run and why, for how long, and what does not fit")
    plan.add_argument(
        "-S", "--set-param", action="append", default=[], metavar="KEY=VALUE", help="as `dvc exp run -S`; repeatable"
    )
    plan.add_argument("--json", action="store_true", help="print JSON")
    plan.add_argument("--short", action="store_true", help="print the sum alone")
    plan.set_defaults(run=_print_plan)


def _print_plan(options: argparse.Namespace) -> None:
    if options.short and not options.json:
        print_sum(Paths.here(), options.set_param)
    else:
        _make_plan(options)


def print_sum(paths: Paths, overrides: list[str]) -> None:
    """Print what a study will take, before it begins; a fault of the plan itself only warns.

    Args:
        paths: The checkout.
        overrides: Settings that differ, as Hydra reads them.

    Raises:
        UnfreezeError: The settings or the lock cannot be used, so that the study would not begin either.
    """
    try:
        _make_plan(argparse.Namespace(set_param=overrides, short=True, json=False))
    except UnfreezeError:
        raise
    except Exception as error:
        console.log.warning("no plan: %s: %s", type(error).__name__, error)


def _make_plan(options: argparse.Namespace) -> None:
    from unfreeze.planning.rest import hand_over
    from unfreeze.planning.survey import survey

    paths = Paths.here()
    with _find_params(paths, options.set_param) as file:
        params = load(file)
        plan = survey(paths, params, file, _validate)
    # What runs next with these parameters counts down from it.
    hand_over(paths, plan, params.model_dump(mode="json"), time.time())
    tell(options, plan.to_json(), lambda: _show(plan, short=options.short))


@contextmanager
def _find_params(paths: Paths, overrides: list[str]) -> Iterator[Path]:
    """Yield params.yaml, or a temporary file composed as `dvc exp run -S` would, which leaves the work tree alone."""
    if not overrides:
        yield paths.params
        return
    with TemporaryDirectory() as folder:
        file = Path(folder) / paths.params.name
        dvc_repo.compose_params(paths, *overrides, target=file)
        yield file


def _validate(params: Params, paths: Paths) -> None:
    """Run the stage that checks all parameters, in a folder of its own."""
    from unfreeze.cli.stages import run_stage

    run_stage("validate", params, paths)


def _show(plan: "Plan", *, short: bool) -> None:
    from rich.console import Console
    from rich.text import Text

    out = Console(width=None if sys.stdout.isatty() else WIDTH)
    if not short:
        out.print(_tabulate(plan))
    out.print(Text(describe_sum(plan)))
    if plan.repeats and not short:
        out.print(Text(REPEATS))
    for line in () if short else plan.choices:
        out.print(Text(line))
    for line in plan.slowness:
        out.print(Text(line, style="yellow"))
    for line in plan.does_not_fit:
        out.print(Text(line, style="bold red"))


def _tabulate(plan: "Plan") -> Any:
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for name in ("stage", "minutes", "disk, GB", "memory, GB", "why"):
        table.add_column(name, justify="left" if name in ("stage", "why") else "right", overflow="fold")
    for stage in plan.stages:
        if stage.action != "keep":
            table.add_row(*_describe_stage(stage))
    return table


def _describe_stage(stage: "PlannedStage") -> list[str]:
    if stage.action == "restore":
        return [stage.name, "0.0", "", "", f"from DVC's cache: {stage.why}"]
    numbers = [
        "?" if value is None else f"{value / unit:.{digits}f}"
        for value, unit, digits in (
            (stage.seconds, SECONDS_A_MINUTE, 1),
            (stage.disk_mb, MB_A_GB, 2),
            (stage.peak_mb, 1e9 / 2**20, 1),
        )
    ]
    return [stage.name, *numbers, stage.why]


def describe_sum(plan: "Plan") -> str:
    """Return the whole plan in a line.

    Args:
        plan: The plan.
    """
    running, restored = plan.running, sum(stage.action == "restore" for stage in plan.stages)
    cached = f", {restored} more come from DVC's cache" if restored else ""
    if not running:
        return f"plan: nothing has changed, no stage runs{cached}"
    head = f"plan: {len(running)} of {len(plan.stages)} stages run{cached}"
    if plan.seconds is None or plan.disk_gb is None or plan.memory_gb is None:
        return (
            f"{head}; how long is unknown until the images are here: `dvc repro download`, then `unfreeze plan` again"
        )
    measured = sum(stage.measured for stage in running)
    basis = "from what earlier runs took here" if measured else "from this machine's speed"
    if 0 < measured < len(running):
        basis = f"{measured} stages {basis}, the others from this machine's speed"
    return (
        f"{head}: about {console.describe_seconds(plan.seconds)} for {plan.images} images; "
        f"{plan.disk_gb:.1f} GB of disk ({plan.free_disk_gb:.0f} free), "
        f"{plan.memory_gb:.1f} GB of memory ({plan.free_memory_gb:.0f} free); {basis}"
    )
