"""The service follows an alias of a real MLflow server, through a time in which that server is gone."""

import logging
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest

from tests.serving.service.running import Running, run_service
from tests.serving.service.test_limits import wait_until
from tests.serving.service.test_reload import IMAGE
from tests.tracking.logged import Logged, make_checkout
from tests.tracking.stores import free, serving
from unfreeze.tracking import packages

URI = "models:/unfreeze@champion"
FAILING = "unfreeze_reload_failing"


@pytest.fixture
def made(packed: Path, tmp_path: Path) -> Logged:
    return make_checkout(tmp_path / "checkout", packed)


def answer(running: Running) -> tuple[str, str]:
    """Return which version answers, and why it does not accept its answer; empty if it does."""
    said = running.ask("/predict", IMAGE)
    assert said.status == 200, said.body
    return said.json["model"]["version"], said.json["predictions"][0]["reason"]


def test_the_alias_of_a_server_is_followed_and_a_kept_copy_answers_while_it_is_gone(
    made: Logged, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    logging.getLogger("unfreeze").propagate = True
    port = free()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{port}")
    find = partial(packages.fetch, made.paths, URI)
    with ExitStack() as service, ExitStack() as server:
        server.enter_context(serving(tmp_path, port))
        made.change_threshold(0.0)
        made.registry.promote(made.register().number, expected=None, reason="first champion")
        # The second version finds each image unsure.
        made.change_threshold(1.0)
        second = made.register().number
        running = service.enter_context(run_service(find(), watch=find))
        assert answer(running) == ("1", "")
        made.registry.promote(second, expected=1, reason="another threshold")
        wait_until(lambda: answer(running) == ("2", "unsure"))
        assert running.count(FAILING) == 0

        server.close()
        wait_until(lambda: running.count(FAILING) == 1)
        wait_until(lambda: f"the kept copy of version 2 answers for {URI}" in caplog.text)
        assert answer(running) == ("2", "unsure")

        server.enter_context(serving(tmp_path, port))
        wait_until(lambda: running.count(FAILING) == 0)
        made.registry.rollback("it accepts nothing")
        wait_until(lambda: answer(running) == ("1", ""))
        assert running.count(FAILING) == 0
    assert running.count('unfreeze_reloads_total{result="swapped"}') == 2
    # What lasts is said once.
    assert caplog.text.count("the kept copy of version 2") == 1
