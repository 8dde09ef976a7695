"""The command that computes a part of a stage's shards, started many times by a scheduler."""

import argparse
import importlib
import inspect
from typing import Any

from unfreeze.errors import UnfreezeError
from unfreeze.paths import Paths
from unfreeze.runtime.imports import pause_collector

# Stages whose rows can be divided; each module has a function `list_works`.
STAGES = ("check", "preprocess", "extract", "evaluate")


def add(commands: Any) -> None:
    """Add the command to the parser's.

    Args:
        commands: What `ArgumentParser.add_subparsers` returned.
    """
    command = commands.add_parser(
        "work", help="compute a part of a stage's shards, as one of many jobs of Slurm or Kubernetes"
    )
    command.add_argument("stage", choices=STAGES)
    command.add_argument("backbone", nargs="?", help="for a stage that runs once a backbone")
    command.add_argument("--index", type=int, required=True, metavar="I", help="number of the part, from 0")
    command.add_argument("--of", type=int, required=True, metavar="N", help="number of parts")
    command.set_defaults(run=_work)


def _work(options: argparse.Namespace) -> None:
    if not 0 <= options.index < options.of:
        raise UnfreezeError(f"--index {options.index} --of {options.of}: expected an index from 0 to N - 1")
    with pause_collector():
        from unfreeze.cli.stages import require_own_code
        from unfreeze.cluster.launch import open_storage
        from unfreeze.cluster.parts import compute_part
        from unfreeze.settings.params import load
        from unfreeze.settings.stage_settings import select

        stage: Any = importlib.import_module(f"unfreeze.stages.{options.stage}")
    paths = Paths.here()
    require_own_code(paths)
    params = load(paths.params)
    of_backbone = {}
    if "backbone" in inspect.signature(stage.list_works).parameters:
        if options.backbone not in params.study.backbones:
            raise UnfreezeError(
                f"backbone {options.backbone!r}: expected one of the study's, {', '.join(params.study.backbones)}"
            )
        of_backbone = {"backbone": options.backbone}
    storage, size = open_storage(params.cluster, paths), params.cluster.rows_per_shard
    for work in stage.list_works(select(params, stage.Settings), paths, **of_backbone):
        compute_part(work, storage, size, index=options.index, of=options.of)
