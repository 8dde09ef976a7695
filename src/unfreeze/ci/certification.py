"""Proof that a commit gives its results: the whole pipeline once more, in an empty clone, output by output."""

import fnmatch
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from rich.console import Console
from rich.table import Table
from rich.text import Text

from unfreeze import dvc_repo, git
from unfreeze.errors import UnfreezeError
from unfreeze.paths import Paths
from unfreeze.planning.machine import name_machine
from unfreeze.runtime.console import log

# Outputs that hold times or show them, beside the commit that they were made from: no two runs give the same.
# What is made from them is not excused. Patterns of fnmatch.
EXCUSED = (
    "metrics/cost/*.json",
    "metrics/training_time/*.json",
    "plots/system/*.csv",
    "reports/index.html",
    "reports/report.json",
    "reports/report.md",
)

Lock = Mapping[str, Any]


@dataclass(frozen=True)
class Compared:
    """An output of two runs.

    Args:
        stage: The stage that writes it.
        path: Where it lies, relative to the root.
        result: Whether both runs gave the same bytes; an output that measures time may differ.
        before: Its digest in the commit's dvc.lock.
        after: Its digest now; None if it was not written.
    """

    stage: str
    path: str
    result: Literal["identical", "different, measures time", "different"]
    before: str
    after: str | None


def certify(paths: Paths) -> list[Compared]:
    """Run the commit's pipeline again and compare all outputs with its lock.

    What is not committed plays no part. Nothing is taken along: images and weights are fetched again from where
    params.yaml says they are, files that DVC tracks from its remote. The runs go to an MLflow store of the clone.

    Args:
        paths: A checkout.

    Returns:
        One row an output, in the order of the lock.

    Raises:
        UnfreezeError: A stage failed, or the commit has no lock.
    """
    commit = git.require_commit(paths.root)
    with tempfile.TemporaryDirectory(prefix="unfreeze-certify-") as folder:
        clone = Paths(Path(folder) / "clone")
        git.clone(paths.root, commit, clone.root)
        if not clone.dvc_lock.exists():
            raise UnfreezeError(f"commit {commit[:12]} has no dvc.lock: run `dvc repro` and commit it")
        before = dvc_repo.read_lock(clone)
        # The last bits depend on it.
        log.info("running commit %s again in %s on %s", commit[:12], clone.root, name_machine())
        dvc_repo.pull_inputs(clone.root)
        dvc_repo.reproduce(clone.root, "--force", environment={"MLFLOW_TRACKING_URI": ""})
        return compare(before, dvc_repo.read_lock(clone))


def compare(before: Lock, after: Lock) -> list[Compared]:
    """Compare the outputs of two locks.

    Args:
        before: The content of a dvc.lock.
        after: That of a later run.
    """
    digests = {out["path"]: out.get("md5") for stage in after["stages"].values() for out in stage.get("outs", [])}
    rows = []
    for name, stage in before["stages"].items():
        for out in stage.get("outs", []):
            path, was, now = out["path"], out.get("md5"), digests.get(out["path"])
            differs: Literal["different, measures time", "different"] = (
                "different, measures time" if now and is_excused(path) else "different"
            )
            rows.append(Compared(name, path, "identical" if was == now else differs, was, now))
    return rows


def is_excused(path: str) -> bool:
    """Tell whether an output may differ from run to run.

    Args:
        path: Relative to the checkout.
    """
    return any(fnmatch.fnmatch(path, pattern) for pattern in EXCUSED)


def list_failures(rows: list[Compared]) -> list[str]:
    """Return the outputs that differ and should not."""
    return [row.path for row in rows if row.result == "different"]


def tabulate(rows: list[Compared]) -> list[dict[str, Any]]:
    """Return the comparison for machines."""
    return [asdict(row) for row in rows]


def show(rows: list[Compared]) -> None:
    """Print the comparison as a table."""
    colours = {"identical": "green", "different, measures time": "yellow", "different": "red"}
    table = Table("stage", "output", "result")
    for row in rows:
        table.add_row(Text(row.stage), Text(row.path), Text(row.result, style=colours[row.result]))
    Console().print(table)
