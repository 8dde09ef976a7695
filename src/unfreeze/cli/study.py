"""The commands that tell people what a study found."""

import argparse
import json
import sys
from collections.abc import Callable
from typing import Any, get_args

from unfreeze import files
from unfreeze.errors import UnfreezeError
from unfreeze.paths import Paths
from unfreeze.records import study_report, verdict
from unfreeze.runtime import console
from unfreeze.settings.base import Pixels


def add(commands: Any) -> None:
    """Add the commands to the parser's.

    Args:
        commands: What `ArgumentParser.add_subparsers` returned.
    """
    table = commands.add_parser("backbones", help="print the table of backbones and their unfreeze points")
    table.add_argument("names", nargs="*", help="backbones; all of the table if none is named")
    table.add_argument("--json", action="store_true", help="print JSON")
    table.add_argument(
        "--add", metavar="hub:PRESET", help="write the settings of a preset of KerasHub into conf/backbones first"
    )
    table.add_argument(
        "--pixels", choices=get_args(Pixels), help="with --add: how it scales pixels, where the preset does not say"
    )
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
    readme = commands.add_parser("readme", help="write the results in reports/ into README.md")
    readme.set_defaults(run=_write_readme)


def tell(options: argparse.Namespace, value: Any, show: Callable[[], None]) -> None:
    """Print a result, as JSON if the user wants that.

    Args:
        options: With `json`.
        value: The result.
        show: Prints it for people.
    """
    if options.json:
        sys.stdout.write(json.dumps(value, indent=2) + "\n")
    else:
        show()


def _print_backbones(options: argparse.Namespace) -> None:
    console.import_tensorflow()
    from unfreeze.cli import backbones

    names = [*options.names]
    if options.add:
        names.append(backbones.add_preset(options.add, options.pixels))
    rows = backbones.describe(names)
    tell(options, rows, lambda: backbones.show(rows))


def _print_split_diff(options: argparse.Namespace) -> None:
    from unfreeze.cli import split_diff

    paths = Paths.here()
    versions = (split_diff.read(paths, revision) for revision in (options.before, options.after))
    result = split_diff.summarize(split_diff.compare(*versions))
    tell(options, result, lambda: split_diff.show(result))


def _read_results() -> study_report.ReportedVerdict:
    """Return the last finished study, and warn where it is not the one that is set up now."""
    paths = Paths.here()
    found = study_report.read(paths)
    if newer := study_report.find_newer_inputs(paths):
        console.log.warning(
            "these are results of the last finished study; %s changed since: `dvc repro` brings them up to date",
            " and ".join(newer),
        )
    return found


def _print_comparison(options: argparse.Namespace) -> None:
    from unfreeze.cli import tables

    found = _read_results()
    tell(options, found.to_json(), lambda: tables.show_comparison(found))


def _print_backbone(options: argparse.Namespace) -> None:
    from unfreeze.cli import tables

    found = _read_results()
    row = found.find_row(options.backbone)
    tell(options, row.to_json(), lambda: tables.show_backbone(row, found))


def _print_mistakes(options: argparse.Namespace) -> None:
    import pandas as pd

    from unfreeze.cli import tables

    paths = Paths.here()
    _read_results().find_row(options.backbone)
    if not paths.mistakes(options.backbone).exists():
        raise UnfreezeError(f"{paths.mistakes(options.backbone).relative_to(paths.root)} is missing: run `dvc repro`")
    mistakes = pd.read_parquet(paths.mistakes(options.backbone))
    shown = mistakes[["kind", "id", "label", "predicted", "probability"]].to_dict("records")
    tell(options, shown, lambda: tables.show_mistakes(options.backbone, mistakes))


def _write_readme(options: argparse.Namespace) -> None:
    from unfreeze.records.study_report import Suite
    from unfreeze.report import readme

    paths = Paths.here()
    checked = [Suite(suite=suite, **files.read_json(paths.checks(suite))) for suite in ("manifest", "suspects")]
    text = readme.replace_results(paths.readme.read_text(encoding="utf-8"), verdict.read(paths), checked)
    files.write_text(paths.readme, text)
