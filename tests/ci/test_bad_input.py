"""What ends a retraining before anything runs: one line, the remedy, and nothing promoted."""

import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import mlflow
import pytest

from tests.conftest import Checkout


@pytest.fixture
def job(checkout: Checkout, tmp_path: Path) -> Checkout:
    """Return a checkout with an origin."""
    checkout.compose("data=folder", "data.source=photos")
    checkout.commit()
    subprocess.run(["git", "init", "--quiet", "--bare", str(tmp_path / "origin.git")], check=True)
    checkout.run("git", "remote", "add", "origin", str(tmp_path / "origin.git"))
    return checkout


def refusal(job: Checkout, *options: str, **environment: str) -> str:
    """Run a retraining that must end before anything runs; return its last line."""
    done = job.try_run("unfreeze", "ci", "retrain", *options, **environment)
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    assert "step repro" not in done.stderr
    told, line = done.stderr.strip().rsplit("\n", 1)
    assert "error: " not in told
    assert line.startswith("error: ")
    if (job.root / "mlflow.db").exists():
        assert mlflow.MlflowClient(f"sqlite:///{job.root}/mlflow.db").search_registered_models() == []
    return line


def test_a_dirty_work_tree_names_the_files(job: Checkout) -> None:
    with (job.root / "src/unfreeze/errors.py").open("a") as code:
        code.write("# changed\n")
    (job.root / "notes.txt").write_text("new\n")
    line = refusal(job)
    assert "differs from its commit (src/unfreeze/errors.py, notes.txt): commit, stash or remove that first" in line


def test_a_lock_with_a_merge_conflict_names_the_line(job: Checkout) -> None:
    (job.root / "dvc.lock").write_text(
        "schema: '2.0'\n<<<<<<< ours\nstages: {}\n=======\nstages: {}\n>>>>>>> theirs\n"
    )
    job.commit()
    assert "dvc.lock holds git merge conflict markers at line 2: edit it, or take one side" in refusal(job)


def test_a_lock_that_cannot_be_read_says_how_to_mend_it(job: Checkout) -> None:
    (job.root / "dvc.lock").write_text("stages: {a: [\n")
    job.commit()
    assert "take the committed one with `git checkout dvc.lock`" in refusal(job)


def test_an_unknown_preset_names_those_there_are(job: Checkout) -> None:
    line = refusal(job, "--preset", "sixx")
    assert "there is no preset 'sixx' in conf/study: take one of best, paper, quick, six, tiny" in line


def test_a_preset_that_leads_elsewhere_is_refused(job: Checkout) -> None:
    assert "there is no preset '../data/elpv'" in refusal(job, "--preset", "../data/elpv")


def test_a_remote_that_does_not_answer_says_so(job: Checkout) -> None:
    job.run("dvc", "remote", "add", "--default", "store", "http://127.0.0.1:9/store")
    job.commit()
    assert "DVC remote 'store' does not answer" in refusal(job)


def test_no_origin_says_so(job: Checkout) -> None:
    job.run("git", "remote", "remove", "origin")
    assert "check the address of origin" in refusal(job)


def test_outside_of_git_says_so(job: Checkout) -> None:
    job.run("rm", "-rf", ".git")
    assert "error: " in refusal(job)


def test_a_branch_with_commits_of_others_is_not_overwritten(job: Checkout) -> None:
    base = job.run("git", "rev-parse", "HEAD").strip()
    for number in range(2):
        job.run("git", "commit", "--quiet", "--allow-empty", "--message", f"by hand {number}")
    job.run("git", "push", "--quiet", "origin", f"HEAD:refs/heads/retrain/{base[:12]}")
    job.run("git", "reset", "--quiet", "--hard", base)
    assert "holds commits of others, which would be lost: merge or delete it" in refusal(job)


@contextmanager
def answering(status: int, text: str) -> Iterator[str]:
    """Run a server that gives every request the same answer."""

    class Handler(BaseHTTPRequestHandler):
        def _handle(self) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text.encode())

        do_GET = do_POST = _handle  # noqa: N815

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_an_mlflow_server_that_is_too_old_says_which_is_needed(job: Checkout) -> None:
    with answering(200, "2.9.2") as address:
        line = refusal(job, MLFLOW_TRACKING_URI=address)
    assert "is MLflow 2.9.2, and 3.0 or later is needed" in line


def test_wrong_credentials_name_the_variables_and_not_the_password(job: Checkout) -> None:
    with answering(401, "who are you") as address:
        line = refusal(
            job,
            MLFLOW_TRACKING_URI=address,
            MLFLOW_TRACKING_USERNAME="me",
            MLFLOW_TRACKING_PASSWORD="open-sesame",
        )
    assert "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD" in line
    assert "open-sesame" not in line


def test_a_lock_that_does_not_match_is_told_by_verify(job: Checkout) -> None:
    done = job.try_run("unfreeze", "ci", "verify")
    assert done.returncode == 1
    (line,) = done.stderr.strip().splitlines()
    assert line.startswith("error: dvc.lock does not match, validate, download")
    assert "`make repro` and commit what it changes" in line
