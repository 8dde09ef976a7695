"""The MLflow store of one checkout: where it is, who may use it, and the experiment in it."""

import functools
import logging
import os
import re
import shlex
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from unfreeze import files
from unfreeze.errors import UnfreezeError, shorten
from unfreeze.paths import Paths
from unfreeze.runtime.console import log
from unfreeze.runtime.imports import pause_collector
from unfreeze.runtime.redaction import redact
from unfreeze.tracking.relocation import find_path, follow_checkout

# Set before MLflow is imported: it reports and draws nothing, and gives up soon on a server that does not answer.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
# A variable of PostgreSQL's client.
os.environ.setdefault("PGCONNECT_TIMEOUT", "10")

# The first version with logged models.
OLDEST = "3.0"
# Part of MLflow's error on a database with another schema than its own.
OLD_SCHEMA = "out-of-date database schema"


class StoreFailure(UnfreezeError):  # noqa: N818
    """The store did not answer, or refused."""


@functools.cache
def load_library() -> None:
    """Import MLflow, which takes seconds."""
    with pause_collector():
        import mlflow.store.tracking.sqlalchemy_store  # noqa: F401


class Server:
    """The store that MLFLOW_TRACKING_URI names, or a SQLite file in the checkout.

    User and password may stand in the address or in MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD.

    Args:
        paths: The checkout.
        experiment: The experiment's name; it is made when it is first asked for.
        patience: Seconds that calls may take together; without it as long as they take.
    """

    def __init__(self, paths: Paths, experiment: str, *, patience: float | None = None) -> None:
        self.paths = paths
        self.experiment = experiment
        self.patience = patience
        uri = _hide_user(os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{paths.mlflow_database}")
        # SQLAlchemy would take another driver than the one MLflow names in its guides.
        self.uri = uri.replace("postgresql://", "postgresql+psycopg2://", 1)

    @property
    def is_remote(self) -> bool:
        """Whether a server answers over HTTP and keeps artifacts itself; a database leaves them to the checkout."""
        return self.uri.startswith(("http://", "https://"))

    @property
    def is_of_checkout(self) -> bool:
        """Whether it is the SQLite file that lies in the checkout."""
        return self.uri == f"sqlite:///{self.paths.mlflow_database}"

    @property
    def shown_uri(self) -> str:
        """The address without a password."""
        return redact(self.uri)

    @functools.cached_property
    def client(self) -> Any:
        """MLflow's client of this store."""
        import mlflow

        for name in ("mlflow", "alembic"):
            logging.getLogger(name).setLevel(logging.ERROR)
        if self.is_of_checkout:
            _make_database(self.paths.mlflow_database)
            follow_checkout(self.paths)
        elif not self.is_remote:
            _try_database(self.uri)
        try:
            client = mlflow.MlflowClient(self.uri)
        except mlflow.MlflowException as error:
            if OLD_SCHEMA not in str(error):
                raise
            raise UnfreezeError(
                f"{self.shown_uri} was made by another version of MLflow: copy the database, "
                f"then run `mlflow db upgrade {shlex.quote(self.shown_uri)}`"
            ) from error
        return client if self.patience is None else _Patient(client, self.patience)

    @functools.cached_property
    def experiment_id(self) -> str:
        """The experiment's id.

        Raises:
            UnfreezeError: Its artifacts lie where this checkout cannot keep them.
        """
        known = self.client.get_experiment_by_name(self.experiment)
        here = self.paths.mlflow_artifacts.as_uri()
        if known is None:
            # MLflow would otherwise put artifacts below the working folder.
            location = None if self.is_remote else here
            return str(self.client.create_experiment(self.experiment, artifact_location=location))
        if known.lifecycle_stage == "deleted":
            self.client.restore_experiment(known.experiment_id)
        if self.is_remote or known.artifact_location == here:
            return str(known.experiment_id)
        folder = find_path(known.artifact_location)
        if folder and self.is_of_checkout:
            raise UnfreezeError(
                f"mlflow.db names files in {folder}, and they were not copied with it: copy that folder to "
                f"{self.paths.mlflow_artifacts}, then run this again"
            )
        if folder and not folder.exists():
            raise UnfreezeError(
                f"experiment {self.experiment!r} of {self.shown_uri} keeps its files in {known.artifact_location}, "
                "which is not here: set tracking.experiment to a name of your own, or start `mlflow server` on it"
            )
        return str(known.experiment_id)

    def require(self) -> None:
        """Find out before the work whether the store can be used.

        Raises:
            UnfreezeError: It is out of reach, too old, or refuses user and password.
        """
        if self.is_remote:
            self._require_version()
        with self.in_one_line():
            _ = self.experiment_id

    @contextmanager
    def in_one_line(self) -> Iterator[None]:
        """Turn what MLflow raises in the block into one line with the remedy.

        Raises:
            StoreFailure: The store is out of reach, or refused.
        """
        import requests
        from mlflow.exceptions import MlflowException
        from sqlalchemy.exc import SQLAlchemyError

        try:
            yield
        except (MlflowException, SQLAlchemyError, requests.RequestException, TimeoutError) as error:
            raise StoreFailure(self._find_remedy(error)) from error
        finally:
            # Alembic, which prepares MLflow's database, switches off every logger it does not know.
            log.disabled = False

    def _find_remedy(self, error: Exception) -> str:
        text = describe_error(error)
        status = getattr(error, "get_http_status_code", int)()
        if status == 401 or "error code 401" in text:
            return (
                f"{self.shown_uri} does not know this user or password; "
                "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"
            )
        if status == 403 or "error code 403" in text:
            user = os.environ.get("MLFLOW_TRACKING_USERNAME", "this user")
            return (
                f"{self.shown_uri} does not let {user} do that ({text}): "
                f"ask its administrator for the right to edit experiment {self.experiment!r} and its models"
            )
        return f"MLflow at {self.shown_uri} failed ({text}): start it, or set MLFLOW_TRACKING_URI to one that answers"

    def _require_version(self) -> None:
        import requests
        from mlflow.utils.credentials import get_default_host_creds
        from mlflow.utils.rest_utils import http_request
        from packaging.version import InvalidVersion, Version

        with self.in_one_line():
            answer = http_request(get_default_host_creds(self.uri), "/version", "GET", raise_on_status=False)
            if answer.status_code not in (200, 404):
                raise requests.HTTPError(f"API request to /version failed with error code {answer.status_code}")
        try:
            version = Version(answer.text.strip().strip('"')) if answer.status_code == 200 else None
        except InvalidVersion:
            version = None
        if version is None or version < Version(OLDEST):
            found = f"is MLflow {version}" if version else "does not tell MLflow's version"
            raise UnfreezeError(
                f"{self.shown_uri} {found}, and {OLDEST} or later is needed: upgrade that server, "
                "or set MLFLOW_TRACKING_URI to another"
            )


class _Patient:
    """MLflow's client as long as its calls together take no longer than they may."""

    # Takes as long as the model is large, and fails by itself when nothing moves any more.
    UNCOUNTED = "log_model_artifacts"

    def __init__(self, client: Any, seconds: float) -> None:
        self._client = client
        self._left = seconds

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._client, name)
        return self._count_tries(found) if callable(found) and name != self.UNCOUNTED else found

    def _count_tries(self, call: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(call)
        def counted(*args: Any, **kwargs: Any) -> Any:
            if self._left < 0:
                raise TimeoutError("the server is too slow to wait for")
            begun = time.monotonic()
            try:
                return call(*args, **kwargs)
            finally:
                self._left -= time.monotonic() - begun

        return counted


def iterate_pages(search: Callable[..., Any], *args: Any, **kwargs: Any) -> Iterator[Any]:
    """Yield all that one of the client's searches finds, page by page."""
    token = None
    while True:
        page = search(*args, **kwargs, page_token=token)
        yield from page
        token = page.token
        if not token:
            return


def describe_error(error: BaseException) -> str:
    """Return an error of MLflow or its database as a part of one line, without secrets."""
    return shorten(error, hide=_hide)


def _hide(text: str) -> str:
    """Return a message without secrets, causes, and the statement and its values that SQLAlchemy adds.

    The cause of a broken connection differs from try to try, and who says a state once goes by its text.
    """
    return redact(re.split(r" \[SQL: | \(Caused by ", text, maxsplit=1)[0])


def _hide_user(uri: str) -> str:
    """Give user and password of a server's address to MLflow by its variables, where no log shows them."""
    parts = urlsplit(uri)
    if not parts.scheme.startswith("http") or "@" not in parts.netloc:
        return uri
    user, _, host = parts.netloc.rpartition("@")
    name, _, password = user.partition(":")
    os.environ["MLFLOW_TRACKING_USERNAME"], os.environ["MLFLOW_TRACKING_PASSWORD"] = unquote(name), unquote(password)
    return parts._replace(netloc=host).geturl()


def _try_database(uri: str) -> None:
    """Connect once; MLflow tries ten times, which takes minutes.

    Raises:
        UnfreezeError: The package that speaks to such a database is missing.
    """
    import sqlalchemy

    try:
        engine = sqlalchemy.create_engine(uri)
    except ModuleNotFoundError as error:
        raise UnfreezeError(
            f"{redact(uri)} needs the package {error.name}: `pip install {error.name}`, which for PostgreSQL is "
            "psycopg2-binary"
        ) from error
    with engine.connect():
        pass
    engine.dispose()


def _make_database(path: Path) -> None:
    """Make an empty store under a temporary name and move it into place: a half-made one could not be used."""
    if path.exists():
        return
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    # Each process makes its own: whichever is first is kept.
    partial = path.with_name(f"{path.name}.partial-{os.getpid()}")
    try:
        SqlAlchemyStore(f"sqlite:///{partial}", path.parent.as_uri()).engine.dispose()
        path.hardlink_to(partial)
    except FileExistsError:
        pass
    finally:
        files.remove(partial)
