"""Whether a champion and a challenger can be compared at all."""

import json

import pandas as pd

from unfreeze.errors import UnfreezeError
from unfreeze.tracking import keys, traces
from unfreeze.tracking.registry import Version
from unfreeze.tracking.server import Server

# Tag of a version: the run of its study.
STUDY_RUN = "study_run"

FORCE = "`unfreeze promote --force REASON`"


class NotComparable(UnfreezeError):  # noqa: N818
    """There is nothing to compare the challenger with: no champion, other classes, or a test fold it has seen."""


def require_champion(champion: Version | None, model: str) -> Version:
    """Return the champion.

    Raises:
        NotComparable: There is none.
    """
    if champion is None:
        raise NotComparable(
            f'model {model!r} has no champion yet: name the first with `unfreeze promote --force "first champion"`'
        )
    return champion


def require_same_classes(champion: Version, classes: list[str]) -> None:
    """Find out whether the champion knows the classes of the data.

    Raises:
        NotComparable: It knows others.
    """
    known = json.loads(champion.tags[keys.CLASSES])
    if known != classes:
        raise NotComparable(
            f"champion version {champion.number} was trained on {_list_in_words(known)}, and the data have "
            f"{_list_in_words(classes)}: their scores cannot be compared; {FORCE} takes the new model"
        )


def require_unseen(server: Server, champion: Version, folds: pd.DataFrame) -> None:
    """Find out whether the champion was neither trained nor chosen on an image of the test fold.

    Args:
        server: The store.
        champion: The champion.
        folds: `sha256` and `fold` of each image here.

    Raises:
        NotComparable: It was, or that is not known any more.
    """
    test = set(folds.loc[folds["fold"] == "test", "sha256"])
    try:
        theirs = traces.read_folds(server, champion.tags[STUDY_RUN])
    except UnfreezeError as error:
        raise NotComparable(
            f"which images champion version {champion.number} was trained on is not known any more ({error}): "
            f"{FORCE} takes the new model"
        ) from error
    seen = test & set(theirs.loc[theirs["fold"] != "test", "sha256"])
    if seen:
        raise NotComparable(
            f"{len(seen)} of {len(test)} test images were in the training or validation fold of champion version "
            f"{champion.number}, whose score on them is worth nothing: keep folds with split.method=stable, train "
            f"the champion again on this split, or {FORCE}"
        )


def _list_in_words(classes: list[str]) -> str:
    return f"{', '.join(classes[:5])}{', ...' if len(classes) > 5 else ''} ({len(classes)} classes)"
