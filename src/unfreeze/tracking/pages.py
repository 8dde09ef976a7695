"""MLflow's pages on the runs of a checkout."""

import os
import sys

from unfreeze.paths import Paths
from unfreeze.runtime.console import log
from unfreeze.tracking import views
from unfreeze.tracking.server import Server

HOST = "127.0.0.1"


def serve_pages(paths: Paths, experiment: str, port: int) -> None:
    """Log the address of the comparison of the last study, and become MLflow's server until it is interrupted.

    Where MLFLOW_TRACKING_URI names a server, its pages are there already, and only the address is logged.

    Args:
        paths: The checkout.
        experiment: The experiment's name.
        port: Where the server listens on this machine.

    Raises:
        UnfreezeError: The store cannot be used.
    """
    server = Server(paths, experiment)
    server.require()
    base_url = server.shown_uri if server.is_remote else f"http://{HOST}:{port}"
    address = views.list_addresses(base_url, server.experiment_id)["comparison"]
    if server.is_remote:
        log.info("%s", address)
        return
    log.info("MLflow starts; in a few seconds it answers at %s", address)
    # Without it MLflow starts ten processes in place of two.
    environment = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    store = ["--backend-store-uri", server.uri, "--artifacts-destination", str(paths.mlflow_artifacts)]
    command = [sys.executable, "-m", "mlflow", "server", "--host", HOST, "--port", str(port), *store]
    os.execve(command[0], command, environment)  # noqa: S606
