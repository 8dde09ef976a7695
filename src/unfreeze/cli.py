"""The `unfreeze` command: one subcommand a DVC stage, and a few for people."""

import argparse
import errno
import importlib
import json
import os
import sys
from collections.abc import Callable
from typing import Any

# Before TensorFlow is imported anywhere: it writes pages about what it found on the machine.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from unfreeze import console, files
from unfreeze.errors import UnfreezeError
from unfreeze.params import load, restrict
from unfreeze.paths import Paths

# In pipeline order; True where the stage runs once a backbone.
STAGES = {
    "validate": False,
    "download": False,
    "check": False,
    "preprocess": False,
    "split": False,
    "pretrained": True,
    "extract": True,
    "suspects": False,
    "learning_curve": True,
    "search": True,
    "finetune": True,
    "evaluate": True,
    "verdict": False,
    "report": False,
}

# What a full or limited disk answers.
DISK_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


def main(arguments: list[str] | None = None) -> None:
    """Run a command and end with status 1 and one line if the user can mend what went wrong."""
    console.configure_logging()
    options = _parser().parse_args(arguments)
    try:
        options.run(options)
    except UnfreezeError as error:
        sys.exit(f"error: {error}")
    except OSError as error:
        if not _is_disk_full(error):
            raise
        name = f" {error.filename}" if error.filename else ""
        sys.exit(f"error: no space left to write{name} ({error}): free some and run `dvc repro` again")
    except KeyboardInterrupt:
        sys.exit("error: interrupted; finished stages are kept, `dvc repro` goes on from there")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="unfreeze", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, by_backbone in STAGES.items():
        module = f"stage {name} of dvc.yaml"
        stage = commands.add_parser(name, help=module)
        if by_backbone:
            stage.add_argument("backbone")
        if name == "search":
            stage.add_argument(
                "--workers", type=int, default=1, metavar="N", help="processes on this machine that run trials"
            )
        stage.set_defaults(run=_run_stage, stage=name)
    table = commands.add_parser("backbones", help="print the table of backbones and their unfreeze points")
    table.add_argument("names", nargs="*", help="backbones; all of the table if none is named")
    table.add_argument("--json", action="store_true", help="print JSON")
    table.set_defaults(run=_print_backbones)
    diff = commands.add_parser("split-diff", help="show which images changed their fold between two versions")
    diff.add_argument("before", nargs="?", default="HEAD", help="a git revision; HEAD if none is named")
    diff.add_argument("after", nargs="?", help="a git revision; the split in this folder if none is named")
    diff.add_argument("--json", action="store_true", help="print JSON")
    diff.set_defaults(run=_print_split_diff)
    compare = commands.add_parser("compare", help="print how the backbones of the study compare")
    compare.set_defaults(run=_print_comparison)
    show = commands.add_parser("show", help="print all that is known of a backbone")
    show.add_argument("backbone")
    show.set_defaults(run=_print_backbone)
    mistakes = commands.add_parser(
        "mistakes", help="print a backbone's most confident mistakes and most doubtful hits"
    )
    mistakes.add_argument("backbone")
    mistakes.set_defaults(run=_print_mistakes)
    for command in (compare, show, mistakes):
        command.add_argument("--json", action="store_true", help="print JSON")
    sync = commands.add_parser("sync", help="log what MLflow does not have yet, from DVC's files")
    sync.set_defaults(run=_sync)
    readme = commands.add_parser("readme", help="write the results in reports/ into README.md")
    readme.set_defaults(run=_write_readme)
    return parser


def _run_stage(options: argparse.Namespace) -> None:
    paths = Paths.here()
    stage: Any = importlib.import_module(f"unfreeze.stages.{options.stage}")
    params = restrict(load(paths.params), stage.PARAMS)
    backbone = [options.backbone] if STAGES[options.stage] else []
    several = {"processes": options.workers} if options.stage == "search" else {}
    stage.run(params, paths, *backbone, **several)


def _print_backbones(options: argparse.Namespace) -> None:
    console.import_tensorflow()
    from unfreeze.models import catalogue

    rows = catalogue.describe(options.names)
    _tell(options, rows, lambda: catalogue.show(rows))


def _print_split_diff(options: argparse.Namespace) -> None:
    from unfreeze import split_diff

    paths = Paths.here()
    versions = (split_diff.read(paths, revision) for revision in (options.before, options.after))
    result = split_diff.summary(split_diff.compare(*versions))
    _tell(options, result, lambda: split_diff.show(result))


def _print_comparison(options: argparse.Namespace) -> None:
    from unfreeze.report import console as tables

    verdict = _verdict(Paths.here())
    _tell(options, verdict, lambda: tables.show_comparison(verdict))


def _print_backbone(options: argparse.Namespace) -> None:
    from unfreeze.report import console as tables

    verdict = _verdict(Paths.here())
    row = _row_of(verdict, options.backbone)
    _tell(options, row, lambda: tables.show_backbone(row, verdict))


def _print_mistakes(options: argparse.Namespace) -> None:
    import pandas as pd

    from unfreeze.report import console as tables

    paths = Paths.here()
    _row_of(_verdict(paths), options.backbone)
    if not paths.mistakes(options.backbone).exists():
        raise UnfreezeError(f"{paths.mistakes(options.backbone).relative_to(paths.root)} is missing: run `dvc repro`")
    mistakes = pd.read_parquet(paths.mistakes(options.backbone))
    shown = mistakes[["kind", "id", "label", "predicted", "probability"]].to_dict("records")
    _tell(options, shown, lambda: tables.show_mistakes(options.backbone, mistakes))


def _tell(options: argparse.Namespace, value: Any, show: Callable[[], None]) -> None:
    if options.json:
        sys.stdout.write(json.dumps(value, indent=2) + "\n")
    else:
        show()


def _verdict(paths: Paths) -> Any:
    if not paths.verdict.exists():
        raise UnfreezeError(f"{paths.verdict.relative_to(paths.root)} is missing: run `dvc repro` first")
    return files.read_json(paths.verdict)


def _row_of(verdict: Any, backbone: str) -> Any:
    for row in verdict["rows"]:
        if row["backbone"] == backbone:
            return row
    names = ", ".join(row["backbone"] for row in verdict["rows"])
    raise UnfreezeError(f"backbone {backbone!r} is not in the last study: take one of {names}")


def _sync(options: argparse.Namespace) -> None:
    from unfreeze.tracking.ledger import Ledger

    paths = Paths.here()
    params = load(paths.params)
    ledger = Ledger(paths, params.tracking.experiment)
    ledger.log_study(list(params.study.backbones))
    if ledger.out_of_reach:
        raise UnfreezeError("not everything was logged: see the line above, then run `unfreeze sync` again")


def _write_readme(options: argparse.Namespace) -> None:
    from unfreeze.report import readme

    paths = Paths.here()
    checked = [files.read_json(paths.checks(suite)) for suite in ("manifest", "suspects")]
    text = readme.with_results(paths.readme.read_text(encoding="utf-8"), _verdict(paths), checked)
    files.write_text(paths.readme, text)


def _is_disk_full(error: OSError) -> bool:
    # HDF5 keeps the number in its message only.
    return error.errno in DISK_FULL or any(f"errno = {number}" in str(error) for number in DISK_FULL)
