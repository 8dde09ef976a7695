"""The command that runs a study on images of one's own: it quotes their path as Hydra wants it."""

import argparse
from pathlib import Path
from typing import Any

from unfreeze import dvc_repo
from unfreeze.cli import plan
from unfreeze.errors import UnfreezeError
from unfreeze.paths import Paths
from unfreeze.settings.overrides import check_override, quote_override
from unfreeze.sources.file_types import ARCHIVES, get_suffix


def add(commands: Any) -> None:
    """Add the command to the parser's.

    Args:
        commands: What `ArgumentParser.add_subparsers` returned.
    """
    study = commands.add_parser("study", help="run a study on your own images: `dvc exp run` with their path quoted")
    study.add_argument("source", help="a folder, an archive, a table of labels, arrays, or an address")
    study.add_argument("-S", "--set-param", action="append", default=[], dest="overrides", metavar="KEY=VALUE")
    study.add_argument("--in-place", action="store_true", help="read a folder's images where they are: no copy")
    study.add_argument("-n", "--name", help="the experiment's name")
    study.add_argument("--queue", action="store_true", help="only queue it: `dvc exp run --run-all` runs the queue")
    study.set_defaults(run=_run_study)


def name_source(source: str) -> list[str]:
    """Return the overrides that make a study take its images from a place.

    Args:
        source: A folder, an archive, a table, arrays, or the address of an archive or of a folder in a store; `~` is
            the home.

    Raises:
        UnfreezeError: It is missing, its path holds what no setting can, or its address holds a password.
    """
    if "://" in source:
        from unfreeze.sources import addresses, inspection, stores

        addresses.check_address(source)
        setting = quote_override("data.source", source)
        return inspection.add_address_preset(setting, is_archive=stores.is_archive(source))
    path = Path(source).expanduser().absolute()
    if path.is_dir():
        return ["data=folder", quote_override("data.source", str(path))]
    if path.is_file() and get_suffix(path.name) not in ARCHIVES:
        from unfreeze.sources import inspection

        # A table of labels or arrays of images: as `inspect` says it.
        return inspection.inspect(str(path)).settings
    if path.is_file():
        return ["data=archive", quote_override("data.source", str(path)), quote_override("data.watch", str(path))]
    raise UnfreezeError(
        f"there is neither a folder nor a file {str(path)!r}: give the folder that holds your images, as in "
        '`make study DATA="/x/My Photos (2023)"`'
    )


def _run_study(options: argparse.Namespace) -> None:
    if not options.source:
        raise UnfreezeError('no images are named: `make study DATA="/x/My Photos (2023)"`')
    for override in options.overrides:
        check_override(override)
    preset, *settings = name_source(options.source)
    overrides = ["data=in_place" if options.in_place else preset, *settings, *options.overrides]
    if not options.queue:
        plan.print_sum(Paths.here(), overrides)
    further = [*(["--name", options.name] if options.name else []), *(["--queue"] if options.queue else [])]
    dvc_repo.run_experiment(Paths.here().root, overrides, *further)
