"""Runs that are found again by what determines their content, and written in few calls."""

import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

from unfreeze.runtime.redaction import redact
from unfreeze.tracking import keys
from unfreeze.tracking.server import Server, iterate_pages

# MLflow's limits for one call.
METRICS_A_CALL = 900
PARAMS_A_CALL = 100
RUNS_A_PAGE = 1000
# Files whose text people wrote or settings went into; pages are made from what is clean already.
TEXT = {".json", ".md"}

# Name, value and step, and perhaps how many milliseconds after the run's begin it was measured.
Point = tuple[str, float, int] | tuple[str, float, int, int]
T = TypeVar("T")


@dataclass
class Run:
    """What is known of a run.

    Args:
        id: MLflow's id.
        begun: When it was made, milliseconds since 1970.
        status: MLflow's status.
        tags: Its tags.
    """

    id: str
    begun: int
    status: str
    tags: dict[str, str] = field(default_factory=dict)


class Runs:
    """The runs whose keys begin alike.

    Secrets are taken out of all that is written.

    Args:
        server: The store.
        prefix: What the keys begin with.
    """

    def __init__(self, server: Server, prefix: str) -> None:
        self.server = server
        self.prefix = prefix
        self._known: dict[str, Run] = {}
        self._all_known = False

    def load(self) -> None:
        """Fetch all that the store has, so that no run is asked for by itself.

        Of runs with one key, which two processes or a repeated request made at once, the first stays.
        """
        found: dict[str, Run] = {}
        for run in self._search(f"tags.`{keys.KEY}` LIKE '{self.prefix}/%'", RUNS_A_PAGE):
            if run.tags[keys.KEY] in found:
                self.server.client.delete_run(run.id)
            else:
                found[run.tags[keys.KEY]] = run
        self._known, self._all_known = found, True

    def find(self, key: str) -> Run | None:
        """Return the run with a key; None if it was not made yet.

        Args:
            key: What comes after the prefix.
        """
        full_key = f"{self.prefix}/{key}"
        known = self._known.get(full_key)
        if known is None and not self._all_known:
            known = next(iter(self._search(f"tags.`{keys.KEY}` = '{full_key}'", 1)), None)
        return known

    def run(self, key: str, name: str, kind: str, parent: Run | None, tags: Mapping[str, str]) -> Run:
        """Return the run with a key, made if it is missing.

        Args:
            key: What comes after the prefix.
            name: What people see.
            kind: What it stands for.
            parent: The run above it.
            tags: What else it is made with.
        """
        full_key, known = f"{self.prefix}/{key}", self.find(key)
        above = {keys.PARENT: parent.id} if parent else {}
        if known is None:
            given = {**_clean(tags), **above, keys.KEY: full_key, keys.KIND: kind}
            # The tags come with the run: one that is killed now is found by the next.
            made = self.server.client.create_run(self.server.experiment_id, run_name=name, tags=given)
            known = _read_run(made)
        elif parent and known.tags.get(keys.PARENT) != parent.id:
            self.log(known, tags=above)
        self._known[full_key] = known
        return known

    def log(
        self,
        run: Run,
        *,
        params: Mapping[str, Any] | None = None,
        metrics: Iterable[Point] = (),
        tags: Mapping[str, str] | None = None,
    ) -> None:
        """Log values; what is there already stays as it is, and tags come last, so that they can vouch for the rest.

        Args:
            run: The run.
            params: By name.
            metrics: Points.
            tags: By name.
        """
        from mlflow.entities import Metric, Param, RunTag

        # A value's time is part of what MLflow tells values apart by: always the same, a second time adds nothing.
        points = iter([Metric(name, value, run.begun + sum(after), step) for name, value, step, *after in metrics])
        settings = iter([Param(name, str(value)) for name, value in _clean(params or {}).items()])
        marks = _clean(tags or {})
        while True:
            batch = list(islice(points, METRICS_A_CALL)), list(islice(settings, PARAMS_A_CALL - len(marks)))
            last = len(batch[0]) < METRICS_A_CALL and len(batch[1]) < PARAMS_A_CALL - len(marks)
            final = [RunTag(name, value) for name, value in marks.items()] if last else []
            if any(batch) or final:
                self.server.client.log_batch(run.id, *batch, final)
            if last:
                break
        run.tags.update(marks)

    def log_artifact(self, run: Run, path: Path, folder: str | None = None) -> None:
        """Log a file, text without its secrets."""
        text = path.read_text(encoding="utf-8") if path.suffix in TEXT else ""
        clean = redact(text)
        if clean == text:
            self.server.client.log_artifact(run.id, str(path), folder)
            return
        with tempfile.TemporaryDirectory(prefix="unfreeze-") as scratch:
            copy = Path(scratch) / path.name
            copy.write_text(clean, encoding="utf-8")
            self.server.client.log_artifact(run.id, str(copy), folder)

    def finish(self, run: Run, status: str = "FINISHED") -> None:
        """Set how a run ended, unless that is known."""
        if run.status != status:
            self.server.client.set_terminated(run.id, status)
            run.status = status

    def _search(self, wanted: str, a_page: int) -> Iterator[Run]:
        search, where = self.server.client.search_runs, [self.server.experiment_id]
        return map(_read_run, iterate_pages(search, where, wanted, max_results=a_page, order_by=["start_time ASC"]))


def _read_run(run: Any) -> Run:
    return Run(run.info.run_id, run.info.start_time, run.info.status, dict(run.data.tags))


def _clean(values: Mapping[str, T]) -> dict[str, Any]:
    return {name: redact(value) if isinstance(value, str) else value for name, value in values.items()}
