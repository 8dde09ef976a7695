"""The command that serves a model over HTTP."""

import argparse
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from unfreeze.cli.models import add_model, locate_model
from unfreeze.paths import Paths
from unfreeze.runtime.imports import pause_collector
from unfreeze.serving import locate

if TYPE_CHECKING:
    from unfreeze.serving.locate import Located

HOST, PORT = "127.0.0.1", 8000


def add(commands: Any) -> None:
    """Add the command to the parser's.

    Args:
        commands: What `ArgumentParser.add_subparsers` returned.
    """
    command = commands.add_parser("serve", help="answer images over HTTP, with a page to drop them on")
    add_model(command)
    command.add_argument("--host", default=HOST, help=f"where it listens; {HOST}, which other machines cannot reach")
    command.add_argument("--port", type=int, default=PORT, help=f"{PORT}; 0 takes any that is free")
    command.set_defaults(run=_serve)


def _serve(options: argparse.Namespace) -> None:
    with pause_collector():
        from unfreeze.serving.service import server

    token = server.choose_token(options.host)
    paths = Paths.here()
    with server.listen(options.host, options.port) as listening:
        located = locate_model(paths, options.model)
        try:
            server.serve(located, listening, token=token, watch=_choose_watch(paths, options.model))
        except KeyboardInterrupt:
            # The usual way to end it; all requests have been answered.
            return


def _choose_watch(paths: Paths, name: str | None) -> "Callable[[], Located] | None":
    """Return what says which version an alias of the registry means; None for a model that stays the same."""
    if name is None or not name.startswith(locate.REGISTERED) or "@" not in name:
        return None

    def find() -> "Located":
        from unfreeze.tracking import packages

        return packages.fetch(paths, name)

    return find
