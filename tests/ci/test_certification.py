"""Two runs of one commit, output by output."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import PROJECT, Checkout
from unfreeze.ci import certification
from unfreeze.planning.machine import name_machine

# The checkouts here have no code of their own.
CODE = {"PYTHONPATH": str(PROJECT / "src")}

LOCK: dict[str, Any] = {
    "stages": {
        "train": {"outs": [{"path": "model", "md5": "1"}, {"path": "metrics/training_time/a.json", "md5": "2"}]},
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
    return {row.path: row.result for row in certification.compare(LOCK, after)}


def test_equal_locks_are_identical() -> None:
    assert set(results(LOCK).values()) == {"identical"}


def test_what_measures_time_may_differ_and_what_is_made_from_it_may_not() -> None:
    rows = certification.compare(LOCK, changed(metrics_training_time_a_json="x", page="y"))
    assert {row.path: row.result for row in rows if row.result != "identical"} == {
        "metrics/training_time/a.json": "different, measures time",
        "page": "different",
    }
    assert certification.list_failures(rows) == ["page"]


def test_what_is_excused_is_a_short_list() -> None:
    assert certification.EXCUSED == (
        "metrics/cost/*.json",
        "metrics/training_time/*.json",
        "plots/system/*.csv",
        "reports/index.html",
        "reports/report.json",
        "reports/report.md",
    )


def test_only_the_report_is_made_from_times() -> None:
    pipeline = yaml.safe_load((PROJECT / "dvc.yaml").read_text())["stages"]
    times = [Path(pattern).parent for pattern in certification.EXCUSED]
    readers = {
        name
        for name, stage in pipeline.items()
        for dep in stage.get("deps", [])
        for time in times
        if Path(dep).is_relative_to(time) or time.is_relative_to(dep)
    }
    assert readers == {"report"}
    assert not certification.is_excused("metrics/verdict.json")
    assert not certification.is_excused("plots/all_backbones.png")


def test_an_output_that_is_not_written_any_more_differs() -> None:
    after = json.loads(json.dumps(LOCK))
    del after["stages"]["report"]
    assert results(after)["page"] == "different"


PIPELINE = """
stages:
  square:
    desc: A stage.
    cmd: python square.py > squared.txt
    deps: [square.py]
    outs: [squared.txt]
  time:
    desc: A stage.
    cmd: mkdir -p metrics/cost && date +%N > metrics/cost/a.json
    deps: [square.py]
    outs:
      - metrics/cost/a.json:
          cache: false
  verdict:
    desc: A stage.
    cmd: python verdict.py
    deps: [verdict.py, squared.txt]
    outs:
      - metrics/verdict.json:
          cache: false
"""


VERDICT = """
import json
from pathlib import Path

Path("metrics/verdict.json").write_text(json.dumps({"best": Path("squared.txt").read_text()}))
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
    (made.root / "verdict.py").write_text(VERDICT)
    made.run("dvc", "repro")
    made.commit()
    return made


def test_a_commit_is_run_again_and_each_output_is_told(committed: Checkout) -> None:
    # What is not committed plays no part.
    (committed.root / "square.py").write_text("print(7 * 8)\n")
    rows = json.loads(
        committed.run("unfreeze", "certify", "--json", **CODE).split("Use `dvc push`")[0].split("INFO")[0]
    )
    assert {row["path"]: row["result"] for row in rows} == {
        "squared.txt": "identical",
        "metrics/cost/a.json": "different, measures time",
        "metrics/verdict.json": "identical",
    }


def test_an_output_that_differs_ends_with_status_1(committed: Checkout) -> None:
    (committed.root / "square.py").write_text("import random\nprint(random.random())\n")
    committed.run("dvc", "repro")
    committed.commit()
    done = committed.try_run("unfreeze", "certify", **CODE)
    assert done.returncode == 1
    assert "error: 2 of 3 outputs differ from the commit's: squared.txt, metrics/verdict.json" in done.stderr
    assert "different, measures time" in done.stdout


def test_a_planted_wrong_verdict_is_found(committed: Checkout) -> None:
    (committed.root / "metrics/verdict.json").write_text('{"best": "50"}')
    committed.run("dvc", "commit", "--force", "verdict")
    committed.commit()
    done = committed.try_run("unfreeze", "certify", **CODE)
    assert done.returncode == 1
    assert "error: 1 of 3 outputs differ from the commit's: metrics/verdict.json" in done.stderr
    assert f" on {name_machine()}\n" in done.stderr


def test_a_commit_without_a_lock_is_refused(committed: Checkout) -> None:
    (committed.root / "dvc.lock").unlink()
    committed.commit()
    done = committed.try_run("unfreeze", "certify", **CODE)
    assert done.returncode == 1
    assert done.stderr.strip().splitlines()[-1].endswith("has no dvc.lock: run `dvc repro` and commit it")


def test_nothing_is_left_behind(committed: Checkout, tmp_path: Path) -> None:
    (tmp_path / "temporary").mkdir()
    committed.run("unfreeze", "certify", **CODE, TMPDIR=str(tmp_path / "temporary"))
    assert list((tmp_path / "temporary").glob("unfreeze-*")) == []
    assert (
        subprocess.run(["git", "status", "--porcelain"], cwd=committed.root, capture_output=True, check=True).stdout
        == b""
    )
