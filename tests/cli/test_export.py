"""`unfreeze export`: folders, a table that grows, and one line for what a user can correct."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.serving.packed import PROJECT, pack_small
from unfreeze.cli import main
from unfreeze.paths import Paths

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Paths:
    """A checkout that holds what an export takes, of a network with random weights."""
    root = tmp_path_factory.mktemp("study")
    made = root / "made"
    pack_small(made)
    paths = Paths(root)
    for source, target in (
        (made / "raw", paths.raw),
        (made / "images.h5", paths.images),
        (made / "split.csv", paths.split),
        (made / "from_scratch.keras", paths.model("from_scratch")),
        (made / "packed", paths.packed("x").parent),
    ):
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(source, target)
    for name in ("dvc.yaml", "params.yaml"):
        shutil.copy(PROJECT / name, root / name)
    return paths


def fail(*arguments: str) -> str:
    """Run a command that must end in one line; return the line."""
    with pytest.raises(SystemExit) as caught:
        main.main(["export", *arguments])
    line = str(caught.value)
    assert line.startswith("error: ")
    assert "\n" not in line
    return line


def test_folders_and_a_table_that_grows(study: Paths, monkeypatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(study.root)
    main.main(["export", "from_scratch", "--json"])
    (row,) = json.loads(capsys.readouterr().out)["formats"]
    assert row["format"] == "openvino"
    assert (study.exported("from_scratch") / "openvino/predict.py").exists()
    main.main(["export", "from_scratch", "--format", "onnx", "--out", "elsewhere"])
    shown = capsys.readouterr().out
    assert "openvino" in shown
    assert "onnx" in shown
    assert "In elsewhere" in shown
    assert sorted(path.name for path in (study.root / "elsewhere/onnx").iterdir()) == [
        "model.json",
        "model.onnx",
        "predict.py",
        "reference.npy",
    ]
    kept = json.loads(study.exports("from_scratch").read_text())["formats"]
    assert [row["format"] for row in kept] == ["onnx", "openvino"]


def test_what_a_user_can_correct_is_one_line(study: Paths, monkeypatch, tmp_path: Path) -> None:
    monkeypatch.chdir(study.root)
    assert "--format openvin: expected one or more of" in fail("from_scratch", "--format", "openvin")
    assert "no model vgg16: this study has from_scratch" in fail("vgg16")
    monkeypatch.chdir(tmp_path)
    assert "there is no model yet: run `make repro`" in fail()


def test_a_full_disk_leaves_no_folder(study: Paths) -> None:
    # No file may grow over 100 kB: to the program the same as a disk that is full.
    limited = (
        "import resource, signal, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000)); "
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); from unfreeze.cli.main import main; "
        "main(['export', 'from_scratch', '--out', 'full'])"
    )
    # A measurement of coverage could not write its file either, and would say so.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
    done = subprocess.run(
        [sys.executable, "-c", limited],
        cwd=study.root, env=environment, capture_output=True, text=True, check=False, timeout=600,
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("error: no space left to write")
    assert not list((study.root / "full").iterdir())
