"""Verdicts on challengers, each recorded in a run of its own with all of its numbers."""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from unfreeze import files
from unfreeze.tracking import keys
from unfreeze.tracking.runs import Point, Runs
from unfreeze.tracking.server import Server

FILE = "judgement.json"
# Of a judged version, and the first of the run too.
VERDICT, TEXT, RUN = "verdict", "verdict_text", "verdict_run"


def find(server: Server, key: str) -> dict[str, Any] | None:
    """Return the recorded verdict with a key; None if there is none, or its recording was interrupted."""
    wanted = f"tags.`{keys.KEY}` = '{keys.JUDGEMENT}/{key}' AND attributes.status = 'FINISHED'"
    runs = server.client.search_runs([server.experiment_id], wanted, max_results=1, order_by=["start_time ASC"])
    if not runs:
        return None
    with tempfile.TemporaryDirectory(prefix="unfreeze-") as folder:
        found = server.client.download_artifacts(runs[0].info.run_id, FILE, folder)
        recorded: dict[str, Any] = files.read_json(Path(found))
        return recorded


def record(
    server: Server, key: str, judgement: dict[str, Any], *, params: Mapping[str, Any], tags: Mapping[str, str]
) -> dict[str, Any]:
    """Record a verdict.

    Args:
        server: The store.
        key: Digest of what determines it.
        judgement: The verdict with its numbers.
        params: What determines it, in words.
        tags: Lineage.

    Returns:
        The judgement with the `run_id` that holds it.
    """
    runs = Runs(server, keys.JUDGEMENT)
    run = runs.run(key, _name(judgement), keys.JUDGEMENT, None, tags)
    recorded = {**judgement, "run_id": run.id}
    runs.log(run, params=params, metrics=_metrics(judgement), tags={VERDICT: judgement["verdict"]})
    with tempfile.TemporaryDirectory(prefix="unfreeze-") as folder:
        path = Path(folder) / FILE
        files.write_json(path, recorded)
        runs.artifact(run, path)
    # From here on it counts as recorded.
    runs.finish(run)
    return recorded


def _name(judgement: Mapping[str, Any]) -> str:
    challenger, champion = judgement["challenger"], judgement["champion"]
    against = f" against version {champion['version']}" if champion else ""
    return f"{challenger['backbone']}, version {challenger['version']}{against}"


def _metrics(judgement: Mapping[str, Any]) -> list[Point]:
    sides = [(who, judgement[who]) for who in ("challenger", "champion") if judgement[who]]
    measured = {f"{who}_{name}": side[name] for who, side in sides for name in ("accuracy", "latency_ms", "size_mb")}
    difference = judgement["difference"] or {}
    compared = {f"difference_{name}".removesuffix("_value"): value for name, value in difference.items()}
    counts = {name: judgement[name] for name in ("images", "more_images")}
    found = {**measured, **compared, **counts}
    return [(name, float(value), 0) for name, value in found.items() if value is not None]
