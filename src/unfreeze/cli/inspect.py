"""The command that tells how a source of images is read, before a study copies it."""

import argparse
from typing import TYPE_CHECKING, Any

from unfreeze.cli.study import tell
from unfreeze.runtime.imports import pause_collector

if TYPE_CHECKING:
    from unfreeze.sources.inspection import Found

# Classes that a terminal shows; --json holds all.
MOST_CLASSES = 30


def add(commands: Any) -> None:
    """Add the command to the parser's.

    Args:
        commands: What `ArgumentParser.add_subparsers` returned.
    """
    command = commands.add_parser(
        "inspect", help="show how a folder, an archive, a table or arrays of images would be read"
    )
    command.add_argument(
        "source",
        help="a folder, an archive, a table or arrays; or the address of an archive, or of a folder in a store",
    )
    command.add_argument(
        "--group", metavar="REGEX", help="what stays in one fold: the first group in an image's path"
    )
    command.add_argument("--json", action="store_true", help="print JSON")
    command.set_defaults(run=_inspect)


def _inspect(options: argparse.Namespace) -> None:
    # It looks in vain at millions of small objects.
    with pause_collector():
        from unfreeze.sources.inspection import inspect

        found = inspect(options.source, options.group)
    tell(options, found.to_json(), lambda: show(found))


def show(found: "Found") -> None:
    """Print what a source holds.

    Args:
        found: The result of `inspect`.
    """
    from rich.console import Console

    # Names of files and classes are no markup, and a command is copied as one line.
    console = Console(markup=False, highlight=False, soft_wrap=True)
    console.print(f"layout   {found.explanation}")
    left_out = found.seen - found.images
    console.print(f"files    {found.seen:,} seen = {found.images:,} images + {left_out:,} left out")
    for reason, paths in found.left_out.items():
        console.print(f"         {paths['files']:,}: {reason} ({', '.join(map(repr, paths['examples']))})")
    if found.folds:
        console.print("folds    " + ", ".join(f"{fold} {count:,}" for fold, count in found.folds.items()))
    if found.groups is not None:
        console.print(f"groups   {found.groups:,}")
    for number, (suffix, counts) in enumerate(found.formats.items()):
        told = f" ({', '.join(counts['formats'])})" if counts["formats"] else ""
        console.print(f"{'' if number else 'formats':<9}{suffix} {counts['images']:,}{told}")
    for note in found.notes:
        console.print(f"note     {note}")
    console.print(f"classes  {len(found.classes):,}")
    console.print(_draw_classes(found))
    if len(found.classes) > MOST_CLASSES:
        console.print(f"The first {MOST_CLASSES} are shown, --json lists all.")
    console.print(f"\nRun the study with:\n\n{found.command}")


def _draw_classes(found: "Found") -> Any:
    from rich.table import Table
    from rich.text import Text

    columns = [
        fold for fold in ("train", "val", "test", "images") if any(fold in row for row in found.classes.values())
    ]
    table = Table("class", *columns, "examples")
    for label, counts in list(found.classes.items())[:MOST_CLASSES]:
        numbers = (f"{counts.get(column, 0):,}" for column in columns)
        table.add_row(Text(label), *numbers, Text(", ".join(found.examples[label])))
    return table
