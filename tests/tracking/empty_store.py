"""MLflow stores without a run: a copy of one that was made once, since MLflow takes seconds to make each."""

import atexit
import functools
import shutil
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path


def put_empty_store(database: Path) -> None:
    """Put a store there as MLflow makes it at its first use."""
    shutil.copy(_make_store(), database)
    with closing(sqlite3.connect(database)) as store, store:
        store.execute("UPDATE experiments SET artifact_location = ?", [f"{database.parent.as_uri()}/0"])


@functools.cache
def _make_store() -> Path:
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    folder = Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, folder)
    SqlAlchemyStore(f"sqlite:///{folder}/mlflow.db", folder.as_uri()).engine.dispose()
    return folder / "mlflow.db"
