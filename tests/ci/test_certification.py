"""Two runs of one commit, output by output."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Checkout
from unfreeze.ci import certification

LOCK: dict[str, Any] = {
    "stages": {
        "train": {"outs": [{"path": "model", "md5": "1"}, {"path": "metrics/seconds.json", "md5": "2"}]},
        "score": {"deps": [{"path": "model"}], "outs": [{"path": "scores", "md5": "3"}]},
        "report": {"deps": [{"path": "metrics"}], "outs": [{"path": "page", "md5": "4"}]},
        "publish": {"deps": [{"path": "page"}], "outs": [{"path": "site", "md5": "5"}]},
    }
}


def changed(**digests: str) -> dict[str, Any]:
    """Return the lock with other digests."""
    lock = json.loads(json.dumps(LOCK))
    for stage in lock["stages"].values():
        for out in stage["outs"]:
            out["md5"] = digests.get(out["path"].replace("/", "_").replace(".", "_"), out["md5"])
    return lock


def results(after: dict[str, Any]) -> dict[str, str]:
    return {row.path: row.result for row in certification.compare(LOCK, after, {"metrics/seconds.json"})}


def test_equal_locks_are_identical() -> None:
    assert set(results(LOCK).values()) == {"identical"}


def test_what_measures_time_and_what_is_made_from_it_may_differ() -> None:
    found = results(changed(metrics_seconds_json="x", page="y", site="z"))
    assert found["metrics/seconds.json"] == found["page"] == found["site"] == "different, measures time"
    assert found["model"] == found["scores"] == "identical"


def test_nothing_else_may_differ() -> None:
    rows = certification.compare(LOCK, changed(model="x"), {"metrics/seconds.json"})
    assert certification.failed(rows) == ["model"]


def test_an_output_that_is_not_written_any_more_differs() -> None:
    after = json.loads(json.dumps(LOCK))
    del after["stages"]["report"]
    assert results(after)["page"] == "different"


PIPELINE = """
stages:
  square:
    cmd: python square.py > squared.txt
    deps: [square.py]
    outs: [squared.txt]
  time:
    cmd: date +%N > time.txt
    deps: [square.py]
    outs:
      - time.txt:
          labels: [measures-time]
          cache: false
"""


@pytest.fixture
def committed(tmp_path: Path) -> Checkout:
    made = Checkout.__new__(Checkout)
    made.root = tmp_path / "checkout"
    made.root.mkdir()
    made.run("git", "init", "--quiet")
    made.run("git", "config", "user.email", "test@example.org")
    made.run("git", "config", "user.name", "test")
    made.run("dvc", "init", "--quiet")
    (made.root / "dvc.yaml").write_text(PIPELINE)
    (made.root / "square.py").write_text("print(7 * 7)\n")
    made.run("dvc", "repro")
    made.commit()
    return made


def test_a_commit_is_run_again_and_each_output_is_told(committed: Checkout) -> None:
    # What is not committed plays no part.
    (committed.root / "square.py").write_text("print(7 * 8)\n")
    rows = json.loads(committed.run("unfreeze", "certify", "--json").split("Use `dvc push`")[0].split("INFO")[0])
    assert {row["path"]: row["result"] for row in rows} == {
        "squared.txt": "identical",
        "time.txt": "different, measures time",
    }


def test_an_output_that_differs_ends_with_status_1(committed: Checkout) -> None:
    (committed.root / "square.py").write_text("import random\nprint(random.random())\n")
    committed.run("dvc", "repro")
    committed.commit()
    done = committed.try_run("unfreeze", "certify")
    assert done.returncode == 1
    assert "error: 1 of 2 outputs differ from the commit's: squared.txt" in done.stderr
    assert "different, measures time" in done.stdout


def test_a_commit_without_a_lock_is_refused(committed: Checkout) -> None:
    (committed.root / "dvc.lock").unlink()
    committed.commit()
    done = committed.try_run("unfreeze", "certify")
    assert done.returncode == 1
    assert done.stderr.strip().splitlines()[-1].endswith("has no dvc.lock: run `dvc repro` and commit it")


def test_nothing_is_left_behind(committed: Checkout, tmp_path: Path) -> None:
    (tmp_path / "temporary").mkdir()
    committed.run("unfreeze", "certify", TMPDIR=str(tmp_path / "temporary"))
    assert list((tmp_path / "temporary").glob("unfreeze-*")) == []
    assert (
        subprocess.run(["git", "status", "--porcelain"], cwd=committed.root, capture_output=True, check=True).stdout
        == b""
    )
