"""The command that writes a model in the formats of other runtimes."""

import argparse
from pathlib import Path
from typing import Any

from unfreeze.paths import Paths
from unfreeze.runtime import console

DEFAULT = "openvino"


def add(commands: Any) -> None:
    """Add the command to the parser's.

    Args:
        commands: What `ArgumentParser.add_subparsers` returned.
    """
    command = commands.add_parser(
        "export", help="write a model in formats of other runtimes, each proved by its answers"
    )
    command.add_argument("backbone", nargs="?", help="a backbone of the study; the study's best by default")
    command.add_argument(
        "--format",
        default=DEFAULT,
        metavar="NAMES",
        help=f"openvino, openvino-int8, onnx, litert, saved_model, with commas between them; {DEFAULT} by default",
    )
    command.add_argument(
        "--out", type=Path, metavar="DIR", help="where the folders go; models/exported/BACKBONE by default"
    )
    command.add_argument("--json", action="store_true", help="print JSON")
    command.set_defaults(run=_export)


def _export(options: argparse.Namespace) -> None:
    from unfreeze.serving import locate
    from unfreeze.serving.classifier import read_model
    from unfreeze.serving.export.registry import find_formats
    from unfreeze.settings.params import load

    paths = Paths.here()
    chosen = find_formats(options.format)
    folder = locate.find_package(paths, options.backbone).folder
    backbone = read_model(folder).backbone
    params = load(paths.params)
    console.import_tensorflow()
    from unfreeze.serving.export import write

    source = write.Source.read(params, paths, backbone, folder)
    out = options.out or paths.exported(backbone)
    exports = write.export(source, chosen, out).update(paths.exports(backbone))
    exports.write(paths.exports(backbone))
    from unfreeze.cli.study import tell
    from unfreeze.tracking.ledger import Ledger

    Ledger(paths, params.tracking.experiment).log_exports(backbone)
    tell(options, exports.to_json(), lambda: _show(exports, out))


def _show(exports: Any, out: Path) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("format", "MB", "ms an image", "images a second", "difference", "accuracy", title=exports.backbone)
    for row in exports.formats:
        table.add_row(
            row.format,
            f"{row.megabytes:.1f}",
            f"{row.latency_ms:.1f}",
            f"{row.images_per_second:.0f}",
            f"{row.difference:.2g}",
            f"{row.accuracy:.4f}",
        )
    screen = Console()
    screen.print(table)
    screen.print(f"In {out}: the validation fold's accuracy, and the largest difference from the .keras file.")
    screen.print("`dvc repro` shows the table in the report; MLflow has it in the backbone's run.")
