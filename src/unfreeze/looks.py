"""The ledger of looks at the test fold: a fold that is looked at often turns into a validation fold."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from unfreeze import files, lineage
from unfreeze.paths import Paths


def record(paths: Paths, backbone: str, *, model: str, fold: str) -> None:
    """Write down that a model is about to be scored on the test fold.

    Args:
        paths: The checkout; DVC keeps the ledger from run to run, git from version to version.
        backbone: Whose model it is.
        model: SHA-256 of the model's file.
        fold: Digest of the fold's images.
    """
    ledger = paths.looks(backbone)
    before = files.read_json(ledger) if ledger.exists() else []
    look = {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": lineage.git_commit(paths.root),
        "model": model,
        "fold": fold,
    }
    files.write_json(ledger, [*before, look])


def count(paths: Paths, backbones: Iterable[str]) -> dict[str, Any]:
    """Count the looks at the test fold that was opened last, by whatever study.

    Args:
        paths: The checkout.
        backbones: The study's; the last look of the first of them tells the fold.

    Returns:
        `this`, how often the fold was opened, and `models`, for how many different models.
    """
    fold = files.read_json(paths.looks(next(iter(backbones))))[-1]["fold"]
    ledgers = [files.read_json(ledger) for ledger in paths.all_looks]
    looks = [look for ledger in ledgers for look in ledger if look["fold"] == fold]
    return {"this": len(looks), "models": len({look["model"] for look in looks})}
