"""The ledger of looks at the test fold: a fold that is looked at often turns into a validation fold."""

from collections.abc import Iterable
from datetime import UTC, datetime

from unfreeze import files, git
from unfreeze.paths import Paths
from unfreeze.records.verdict import Looks


def record(paths: Paths, backbone: str, *, models: Iterable[str], fold: str) -> None:
    """Write down that models are about to be scored on the test fold.

    Args:
        paths: The checkout; DVC keeps the ledger from run to run, git from version to version.
        backbone: Whose models they are.
        models: SHA-256 of each model's file.
        fold: Digest of the images in the fold, whatever their size here.
    """
    ledger = paths.looks(backbone)
    before = files.read_json(ledger) if ledger.exists() else []
    now, commit = datetime.now(UTC).isoformat(timespec="seconds"), git.find_commit(paths.root) or "none"
    new = [{"time": now, "commit": commit, "model": model, "fold": fold} for model in models]
    files.write_json(ledger, [*before, *new])


def count(paths: Paths, backbones: Iterable[str]) -> Looks:
    """Count the looks at the test fold that was opened last, by whatever study.

    Args:
        paths: The checkout.
        backbones: The study's; the last look of the first of them tells the fold.

    Returns:
        The number of scorings and of models.
    """
    fold = files.read_json(paths.looks(next(iter(backbones))))[-1]["fold"]
    ledgers = [files.read_json(ledger) for ledger in paths.all_looks]
    looks = [look for ledger in ledgers for look in ledger if look["fold"] == fold]
    return Looks(this=len(looks), models=len({look["model"] for look in looks}))
