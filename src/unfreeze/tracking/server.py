"""The MLflow store of one checkout: where it is, who may use it, and the experiment in it."""

import functools
import logging
import os
from typing import Any

from unfreeze.paths import Paths

# Set before MLflow is imported: it reports nothing, and gives up soon on a server that does not answer.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")


def load_library() -> None:
    """Import MLflow, which takes seconds."""
    import mlflow.store.tracking.sqlalchemy_store  # noqa: F401


class Server:
    """The store that MLFLOW_TRACKING_URI names, or a SQLite file in the checkout.

    Args:
        paths: The checkout.
        experiment: The experiment's name; it is made when it is first asked for.
    """

    def __init__(self, paths: Paths, experiment: str) -> None:
        self.experiment = experiment
        self._artifacts = paths.ledger_root / "mlartifacts"
        self.local = not os.environ.get("MLFLOW_TRACKING_URI")
        self.uri = os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{paths.ledger_root / 'mlflow.db'}"

    @functools.cached_property
    def client(self) -> Any:
        """MLflow's client of this store."""
        import mlflow

        for name in ("mlflow", "alembic"):
            logging.getLogger(name).setLevel(logging.ERROR)
        return mlflow.MlflowClient(self.uri)

    @functools.cached_property
    def experiment_id(self) -> str:
        """The experiment's id."""
        known = self.client.get_experiment_by_name(self.experiment)
        if known is None:
            # MLflow would otherwise put artifacts below the working folder.
            location = self._artifacts.as_uri() if self.local else None
            return self.client.create_experiment(self.experiment, artifact_location=location)
        if self.local and known.artifact_location != self._artifacts.as_uri():
            raise RuntimeError(
                f"mlflow.db was made in another folder ({known.artifact_location}): "
                "remove mlflow.db, then `unfreeze sync` makes it anew"
            )
        return known.experiment_id
