"""The command that names the classes of images with a model of the study or of the registry."""

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unfreeze import files
from unfreeze.cli.models import add_model, locate_model
from unfreeze.paths import Paths
from unfreeze.runtime import console

if TYPE_CHECKING:
    from unfreeze.cluster.shards import Cluster
    from unfreeze.cluster.storage import Storage
    from unfreeze.serving.predictions import Form, Row

# Exit status where some images could not be read; all others have their rows.
STATUS_SOME_FAILED = 3
# Classes that a line on a terminal names.
MOST_SHOWN = 3


def add(commands: Any) -> None:
    """Add the command to the parser's.

    Args:
        commands: What `ArgumentParser.add_subparsers` returned.
    """
    command = commands.add_parser("predict", help="name the class of images, with calibrated probabilities")
    command.add_argument(
        "sources",
        nargs="+",
        metavar="SOURCE",
        help="files, folders, globs, archives, tables of paths, addresses, or - for paths on standard input",
    )
    add_model(command)
    command.add_argument("--out", metavar="FILE", type=Path, help="write a table: .csv, .jsonl or .parquet")
    command.add_argument("--top", metavar="K", type=int, help="name only the K most probable classes")
    command.add_argument("--explain", metavar="DIR", type=Path, help="write Grad-CAM overlays into a folder")
    command.add_argument(
        "--sheet", metavar="FILE", type=Path, help="draw the first images with their percentages (.png)"
    )
    command.add_argument(
        "--sets", metavar="COVERAGE", type=float, help="add sets that hold the right class this often, such as 0.95"
    )
    command.set_defaults(run=_predict)


def _predict(options: argparse.Namespace) -> None:
    from unfreeze.serving import run
    from unfreeze.serving.classifier import read_model

    paths = Paths.here()
    located = locate_model(paths, options.model)
    asked = run.Options(options.sources, options.out, options.top, options.explain, options.sheet, options.sets)
    show = _Screen() if sys.stdout.isatty() else _write_json
    try:
        further = [paths.model(read_model(located.folder).backbone)]
        done = run.predict(located, asked, further=further, show=show, machines=_find_machines(paths))
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever reads the rows has seen enough; Python would complain once more when it flushes at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return
    except KeyboardInterrupt:
        if options.out:
            console.log.info("the rows so far are kept: the same command goes on from there")
        raise
    for path in filter(None, (options.out, options.sheet, options.explain)):
        console.log.info("wrote %s", path)
    kept = f", {done.kept:,} of them kept from an earlier run" if done.kept else ""
    console.log.info(
        "%s: %s images%s, %s answers accepted", located.name, f"{done.images:,}", kept, f"{done.accepted:,}"
    )
    if done.failed:
        console.log.warning("%s images could not be read; their rows say why", f"{done.failed:,}")
        sys.exit(STATUS_SOME_FAILED)


def _find_machines(paths: Paths) -> "tuple[Cluster, Storage] | None":
    """Return the cluster of the settings and its storage; None where they name none, or there are no settings."""
    values = files.read_yaml(paths.params) if paths.params.exists() else None
    section = values.get("cluster") if isinstance(values, dict) else None
    if not isinstance(section, dict) or section.get("engine") != "ray":
        return None
    from unfreeze.cluster.launch import make_cluster, open_storage
    from unfreeze.settings.params import load

    settings = load(paths.params).cluster
    return make_cluster(settings, paths), open_storage(settings, paths)


def _write_json(form: "Form", row: "Row") -> None:
    sys.stdout.write(f"{form.to_json(row)}\n")
    sys.stdout.flush()


class _Screen:
    """Rows as lines of a table, each as soon as it is known."""

    def __init__(self) -> None:
        self._begun = False

    def __call__(self, form: "Form", row: "Row") -> None:
        from unfreeze.serving.predictions import to_text

        width = max(len("class"), *(len(name) for name in form.classes))
        badge = max(len("unlike training"), len("not read"))
        if not self._begun:
            sys.stdout.write(f"{'class':<{width}}  {'':>6}  {'accepted':<{badge}}  source\n")
            self._begun = True
        if row.failed:
            line = f"{'':<{width}}  {'':>6}  {'not read':<{badge}}  {to_text(row.source)}: {to_text(row.reason)}"
        else:
            ranked = sorted(row.probabilities, key=lambda pair: -pair[1])
            others = ", ".join(f"{name} {probability:.1%}" for name, probability in ranked[1:MOST_SHOWN])
            more = "".join(
                [f"  ({others})" if others else "", "" if row.set is None else f"  {{{', '.join(row.set)}}}"]
            )
            line = (
                f"{row.predicted:<{width}}  {ranked[0][1]:>6.1%}  {row.reason or 'yes':<{badge}}  "
                f"{to_text(row.source)}{more}"
            )
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()
