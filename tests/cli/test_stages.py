import hashlib
import os
import subprocess
import sys
from pathlib import Path

import yaml

from tests.conftest import PROJECT, Checkout, checkout_with_images


def run_without_own_path(checkout: Checkout, *command: str) -> subprocess.CompletedProcess[str]:
    """Run a command with whatever installation of the package Python finds by itself."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment["PATH"] = f"{Path(sys.executable).parent}:{environment['PATH']}"
    return subprocess.run(
        command, cwd=checkout.root, env=environment, capture_output=True, text=True, check=False, timeout=500
    )


def change_what_validate_writes(checkout: Checkout, text: str) -> None:
    path = checkout.root / "src/unfreeze/stages/validate.py"
    assert path.read_text().count("params.yaml was checked") == 1
    path.write_text(path.read_text().replace("params.yaml was checked", text))


def test_help_describes_each_stage_as_dvc_yaml_does() -> None:
    shown = subprocess.run(
        [sys.executable, "-m", "unfreeze", "--help"],
        cwd=PROJECT, capture_output=True, text=True, check=True, env={**os.environ, "COLUMNS": "300"},
    ).stdout  # fmt: skip
    for name, stage in yaml.safe_load((PROJECT / "dvc.yaml").read_text())["stages"].items():
        (line,) = [line for line in shown.splitlines() if line.split()[:1] == [name]]
        assert line.split(maxsplit=1)[1] == stage["desc"]


def test_a_stage_refuses_to_run_the_code_of_another_checkout(tmp_path: Path) -> None:
    copy = checkout_with_images(tmp_path, 12)
    environment = {"PYTHONPATH": str(PROJECT / "src")}
    done = copy.try_run("unfreeze", "validate", **environment)
    assert done.returncode == 1
    (line,) = done.stderr.strip().splitlines()
    assert line.startswith(f"error: the code that runs is {PROJECT}/src/unfreeze, but DVC records {copy.root}/src/")
    assert f"set PYTHONPATH={copy.root}/src" in line


def test_dvc_runs_the_code_of_the_working_folder(tmp_path: Path) -> None:
    copy = checkout_with_images(tmp_path, 12)
    change_what_validate_writes(copy, "checked by the copy")
    done = run_without_own_path(copy, "dvc", "repro", "validate")
    assert done.returncode == 0, done.stderr
    assert copy.paths.params_valid.read_text() == "checked by the copy\n"


def test_a_queued_experiment_runs_the_code_that_was_queued(tmp_path: Path) -> None:
    copy = checkout_with_images(tmp_path, 12)
    copy.commit()
    change_what_validate_writes(copy, "checked as queued")
    assert run_without_own_path(copy, "dvc", "exp", "run", "--queue", "--name", "queued", "validate").returncode == 0
    copy.run("git", "checkout", "src")
    change_what_validate_writes(copy, "edited after queueing")
    done = run_without_own_path(copy, "dvc", "exp", "run", "--run-all")
    assert done.returncode == 0, done.stderr
    (reference,) = copy.run("git", "for-each-ref", "--format=%(refname)", "refs/exps/*/*/queued").split()
    lock = yaml.safe_load(copy.run("git", "show", f"{reference}:dvc.lock"))
    digests = {output["path"]: output["md5"] for output in lock["stages"]["validate"]["outs"]}
    assert digests["data/params_valid.txt"] == hashlib.md5(b"checked as queued\n").hexdigest()
