"""Files that git left half merged, or that were cut short: one line with the cure, in whatever command reads them."""

import json
import shutil

import pytest

from tests.conftest import PROJECT, Checkout

CONFLICT = "<<<<<<< HEAD\nours\n=======\ntheirs\n>>>>>>> branch\n"


def last_line(checkout: Checkout, *command: str) -> str:
    """Run a command that must fail; return what it says."""
    done = checkout.try_run(*command)
    assert done.returncode, done.stdout
    assert "Traceback" not in done.stderr
    return next(line for line in done.stderr.splitlines() if line.startswith("error: "))


@pytest.fixture(scope="module")
def damaged(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """A checkout with results of a study, each file whole."""
    made = Checkout(tmp_path_factory.mktemp("damaged") / "checkout")
    shutil.copytree(PROJECT / "metrics", made.root / "metrics", dirs_exist_ok=True)
    shutil.copy(PROJECT / "Makefile", made.root)
    (made.root / "dvc.lock").write_text("schema: '2.0'\nstages: {}\n")
    assert made.run("unfreeze", "check-files") == ""
    return made


@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("params.yaml", ("unfreeze", "versions")),
        ("conf/config.yaml", ("unfreeze", "check-files")),
        ("checks/waivers.yaml", ("unfreeze", "check-files")),
        ("dvc.yaml", ("unfreeze", "sync")),
        ("dvc.lock", ("unfreeze", "sync")),
        ("dvc.lock", ("unfreeze", "ci", "verify")),
        ("dvc.lock", ("make", "--old-file=install", "repro")),
        ("metrics/verdict.json", ("unfreeze", "compare")),
        ("metrics/download.json", ("unfreeze", "check-files")),
    ],
)
def test_a_merge_conflict_names_the_file_and_the_cure(damaged: Checkout, name: str, command: tuple[str, ...]) -> None:
    path = damaged.root / name
    before = path.read_text() if path.exists() else None
    path.write_text(CONFLICT)
    try:
        line = last_line(damaged, *command)
    finally:
        path.write_text(before) if before is not None else path.unlink()
    assert line.startswith(f"error: {name} holds git merge conflict markers at line 1: edit it, or take one side")


@pytest.mark.parametrize(
    "content", ["", "schema: '2.0'\nstages:\n  split:\n    cm", "schema: '2.0'\nstages:\n  split:\n"]
)
@pytest.mark.parametrize(
    "command",
    [("unfreeze", "ci", "verify"), ("unfreeze", "sync"), ("make", "--old-file=install", "repro")],
    ids=lambda command: command[-1],
)
def test_a_lock_that_was_cut_short_names_its_cure(damaged: Checkout, content: str, command: tuple[str, ...]) -> None:
    (damaged.root / "dvc.lock").write_text(content)
    line = last_line(damaged, *command)
    assert "dvc.lock is not" in line
    assert "`git checkout dvc.lock`" in line


def test_a_pipeline_that_was_cut_short_names_its_cure(checkout: Checkout) -> None:
    (checkout.root / "dvc.yaml").write_text("stages:\n  code:\n")
    assert "`git checkout dvc.yaml` takes the committed one" in last_line(checkout, "unfreeze", "ci", "verify")


def test_a_result_that_was_cut_short_names_its_cure(checkout: Checkout) -> None:
    whole = json.dumps({"rows": [1, 2, 3]})
    checkout.paths.verdict.parent.mkdir(exist_ok=True)
    checkout.paths.verdict.write_text(whole[:-2])
    line = last_line(checkout, "unfreeze", "check-files")
    assert line.startswith("error: metrics/verdict.json is not valid JSON (")
    assert line.endswith("take the committed one with `git checkout metrics/verdict.json`; then run `dvc repro`")
