"""The commands that change or ask what outlives a study: MLflow's runs and models, and continuous integration."""

import argparse
import re
from pathlib import Path
from typing import Any

from unfreeze import files
from unfreeze.cli.stages import require_own_code
from unfreeze.cli.study import tell
from unfreeze.errors import UnfreezeError
from unfreeze.paths import Paths
from unfreeze.runtime import console
from unfreeze.settings.params import Params, load


def add(commands: Any) -> None:
    """Add the commands to the parser's.

    Args:
        commands: What `ArgumentParser.add_subparsers` returned.
    """
    sync = commands.add_parser("sync", help="log what MLflow does not have yet, from DVC's files")
    sync.set_defaults(run=_sync)
    ui = commands.add_parser("ui", help="open MLflow's pages on the runs of this checkout")
    ui.add_argument("--port", type=int, default=5000, help="where they are served on this machine; 5000")
    ui.set_defaults(run=_serve_pages)
    trace = commands.add_parser("trace", help="tell which commit, lock, data and environment a run comes from")
    trace.add_argument("run_id", metavar="RUN", help="its id in MLflow")
    trace.set_defaults(run=_trace)
    seen = commands.add_parser("seen", help="tell which models an image was in the training of")
    seen.add_argument("image", help="a file, or its SHA-256")
    seen.set_defaults(run=_show_seen)
    promote = commands.add_parser("promote", help="judge a model against the champion, and let it take its place")
    promote.add_argument("backbone", nargs="?", help="of the last study; its best if none is named")
    promote.add_argument("--force", metavar="REASON", help="promote whatever the verdict is; the reason is recorded")
    promote.add_argument(
        "--format", metavar="NAME", help="judge an exported format (`unfreeze export`) instead of the packed model"
    )
    promote.set_defaults(run=_promote)
    rollback = commands.add_parser("rollback", help="make the champion before this one champion again")
    rollback.set_defaults(run=_rollback)
    versions = commands.add_parser("versions", help="list the registered models, which of them is champion, and why")
    versions.set_defaults(run=_list_versions)
    for command in (trace, seen, promote, rollback, versions):
        command.add_argument("--json", action="store_true", help="print JSON")


def _sync(_: argparse.Namespace) -> None:
    from unfreeze.tracking import views
    from unfreeze.tracking.ledger import Ledger

    params, paths = _read_here()
    ledger = Ledger(paths, params.tracking.experiment)
    ledger.sync(list(params.study.backbones))
    if not ledger.server.is_remote:
        console.log.info("MLflow has the whole study: `make ui` shows it")
        return
    for name, address in views.list_addresses(ledger.server.shown_uri, ledger.server.experiment_id).items():
        console.log.info("%s: %s", name, address)


def _serve_pages(options: argparse.Namespace) -> None:
    from unfreeze.tracking.pages import serve_pages

    params, paths = _read_here()
    serve_pages(paths, params.tracking.experiment, options.port)


def _trace(options: argparse.Namespace) -> None:
    from unfreeze.cli import tables
    from unfreeze.tracking import traces

    origin = traces.trace_run(_run_server(), options.run_id)
    rows = [{"": name, "value": value} for name, value in origin.items()]
    tell(options, origin, lambda: tables.show_rows("Where the run comes from", rows))


def _show_seen(options: argparse.Namespace) -> None:
    from unfreeze.checks import corrections
    from unfreeze.cli import tables
    from unfreeze.tracking import traces

    image = Path(options.image)
    digest = files.hash_file(image) if image.is_file() else options.image
    if not re.fullmatch("[0-9a-f]{64}", digest):
        raise UnfreezeError(f"{options.image!r} is neither a file nor a SHA-256: give the image, or its 64 digits")
    models = traces.find_models_that_saw(_run_server(), digest)
    tell(options, models, lambda: tables.show_rows("Models that saw the image", models))
    for one in corrections.read(Paths.here().corrections):
        if one.sha256 == digest:
            what = f"{one.action} {one.label}".strip()
            console.log.info("checks/corrections.csv: %s (%s; %s, %s)", what, one.reason, one.by, one.date)


def _run_server() -> Any:
    from unfreeze.tracking.server import Server

    params, paths = _read_here()
    server = Server(paths, params.tracking.experiment)
    server.require()
    return server


def _read_here() -> tuple[Params, Paths]:
    paths = Paths.here()
    return load(paths.params), paths


def _promote(options: argparse.Namespace) -> None:
    from unfreeze.release import promotion

    params, paths = _read_here()
    require_own_code(paths)
    result = promotion.promote(params, paths, options.backbone, force=options.force, export=options.format)
    tell(options, result.to_json(), lambda: console.log.info("%s", result.text))


def _rollback(options: argparse.Namespace) -> None:
    from unfreeze.release import promotion

    result = promotion.rollback(*_read_here())
    told = "version %s is champion again, in place of %s"
    tell(options, result, lambda: console.log.info(told, result["to"], result["from"]))


def _list_versions(options: argparse.Namespace) -> None:
    from unfreeze.cli import tables
    from unfreeze.release import promotion

    rows = promotion.list_versions(*_read_here())
    tell(options, rows, lambda: tables.show_rows("Registered models", rows, besides=("tags", "transitions")))
