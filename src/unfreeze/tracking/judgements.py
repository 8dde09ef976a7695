"""Verdicts on challengers, each recorded in a run of its own with all of its numbers."""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from unfreeze.records.judgement_record import Judgement
from unfreeze.tracking import keys
from unfreeze.tracking.runs import Point, Runs
from unfreeze.tracking.server import Server

FILE = "judgement.json"
# Tags of a judged version; its run has the first of them too.
VERDICT, TEXT, RUN = "verdict", "verdict_text", "verdict_run"


def find(server: Server, key: str) -> Judgement | None:
    """Return the recorded verdict with a key; None if there is none, or its recording was interrupted."""
    wanted = f"tags.`{keys.KEY}` = '{keys.JUDGEMENT}/{key}' AND attributes.status = 'FINISHED'"
    runs = server.client.search_runs([server.experiment_id], wanted, max_results=1, order_by=["start_time ASC"])
    if not runs:
        return None
    with tempfile.TemporaryDirectory(prefix="unfreeze-") as folder:
        return Judgement.read(Path(server.client.download_artifacts(runs[0].info.run_id, FILE, folder)))


def record(
    server: Server, key: str, judgement: Judgement, *, params: Mapping[str, Any], tags: Mapping[str, str]
) -> Judgement:
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
    run = runs.run(key, _name_run(judgement), keys.JUDGEMENT, None, tags)
    recorded = judgement.model_copy(update={"run_id": run.id})
    runs.log(run, params=params, metrics=_list_metrics(judgement), tags={VERDICT: judgement.verdict})
    with tempfile.TemporaryDirectory(prefix="unfreeze-") as folder:
        path = Path(folder) / FILE
        recorded.write(path)
        runs.log_artifact(run, path)
    # From here on it counts as recorded.
    runs.finish(run)
    return recorded


def _name_run(judgement: Judgement) -> str:
    challenger, champion = judgement.challenger, judgement.champion
    against = f" against version {champion.version}" if champion else ""
    return f"{challenger.backbone}, version {challenger.version}{against}"


def _list_metrics(judgement: Judgement) -> list[Point]:
    found: dict[str, float | None] = {"images": judgement.images, "more_images": judgement.more_images}
    for who, side in (("challenger", judgement.challenger), ("champion", judgement.champion)):
        if side:
            found |= {f"{who}_{name}": getattr(side, name) for name in ("accuracy", "latency_ms", "size_mb")}
    if difference := judgement.difference:
        found |= {
            "difference": difference.value, "difference_low": difference.low, "difference_high": difference.high
        }  # fmt: skip
    return [(name, float(value), 0) for name, value in found.items() if value is not None]
