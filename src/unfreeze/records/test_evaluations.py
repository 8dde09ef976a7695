"""Which models were evaluated on which test fold: a fold that is used often turns into a validation fold.

Each pair of model and fold has a file of its own, test_evaluations/<fold>/<model>.json, whose content depends on
the pair alone. So a pair counts once however often it is scored, and branches that add pairs merge without a
conflict. The folder is no output of a stage, so that DVC neither removes it nor bars the stage from its run cache.
"""

import os
import socket
from collections.abc import Iterable
from pathlib import Path

from unfreeze.paths import Paths
from unfreeze.records.record import Record

# Digits of the fold's digest in the name of its folder.
DIGITS = 16


class ScoredModel(Record):
    """A model that was scored on a test fold.

    Args:
        model: SHA-256 of the model's file.
        fold: Digest of the fold's images, independent of the size at which they are stored.
        backbone: The model's backbone.
    """

    model: str
    fold: str
    backbone: str


class FoldUse(Record):
    """How often a test fold was used.

    Args:
        models: Number of different models that were evaluated on it, by whatever study.
        earlier: Number of those that are not of the present study.
    """

    models: int
    earlier: int


def record(paths: Paths, evaluations: Iterable[ScoredModel]) -> None:
    """Write evaluations down; those that are known already stay as they are.

    Args:
        paths: The checkout. An experiment of DVC that runs in a copy writes to the checkout it comes from, too, since
            the copy is thrown away.
        evaluations: The evaluations.
    """
    for evaluation in evaluations:
        for folder in {paths.test_evaluations, paths.kept_test_evaluations}:
            path = _find_folder(folder, evaluation.fold) / f"{evaluation.model}.json"
            if not path.exists():
                # Jobs that score the same model may begin at the same moment.
                partial = path.with_name(f".{path.stem[:DIGITS]}-{socket.gethostname()}-{os.getpid()}")
                evaluation.write(partial)
                partial.replace(path)


def count(paths: Paths, of_study: Iterable[ScoredModel]) -> FoldUse:
    """Count the models that were evaluated on the study's test fold.

    Args:
        paths: The checkout.
        of_study: The evaluations of the present study, on one fold.
    """
    own = {evaluation.model: evaluation.fold for evaluation in of_study}
    known = {
        path.stem for fold in set(own.values()) for path in _find_folder(paths.test_evaluations, fold).glob("*.json")
    }
    return FoldUse(models=len(known | set(own)), earlier=len(known - set(own)))


def _find_folder(folder: Path, fold: str) -> Path:
    return folder / fold[:DIGITS]
