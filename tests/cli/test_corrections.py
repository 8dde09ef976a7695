"""`unfreeze correct`, as typed in a terminal."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import PROJECT
from unfreeze import files
from unfreeze.checks import corrections
from unfreeze.cli import main
from unfreeze.paths import Paths

BY = ["--reason", "seen", "--by", "Ann"]


@pytest.fixture
def paths(tmp_path: Path, make_images: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> Paths:
    """Return a checkout with two images of each of two classes, one of them twice with the same bytes."""
    paths = Paths(tmp_path)
    make_images(paths.raw, images=2)
    shutil.copy(paths.raw / "red/001.png", paths.raw / "blue/copy.png")
    names = sorted(path.relative_to(paths.raw).as_posix() for path in paths.raw.rglob("*.png"))
    lines = [f"{name},{name.partition('/')[0]}" for name in names]
    files.write_text(paths.raw_index, "\n".join(["path,label", *lines]) + "\n")
    shutil.copy(PROJECT / "dvc.yaml", tmp_path)
    shutil.copytree(PROJECT / "checks", tmp_path / "checks")
    monkeypatch.chdir(tmp_path)
    return paths


def correct(*arguments: str) -> str | None:
    """Run the command; return the line that it ended with."""
    try:
        main.main(["correct", *arguments])
    except SystemExit as ended:
        return str(ended.code)
    return None


def lines(paths: Paths) -> dict[str, tuple[str, str]]:
    return {one.sha256: (one.action, one.label) for one in corrections.read(paths.corrections)}


def digest(paths: Paths, name: str) -> str:
    return files.hash_file(paths.raw / name)


@pytest.mark.parametrize(
    "named", ["red/000.png", "./red/000.png", "data/raw/red/000.png", "photos/all/red/000.png", "red\\000.png"]
)
def test_an_image_is_named_by_its_path_here_or_in_the_source(
    paths: Paths, named: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert correct(named, "--label", "blue", *BY) is None
    assert lines(paths) == {digest(paths, "red/000.png"): ("relabel", "blue")}
    assert "red/000.png is relabelled from red to blue; `dvc repro` applies it" in capsys.readouterr().err


def test_a_later_correction_replaces_an_earlier_one(paths: Paths, capsys: pytest.CaptureFixture[str]) -> None:
    sha256 = digest(paths, "blue/000.png")
    correct(sha256, "--exclude", *BY)
    assert lines(paths) == {sha256: ("exclude", "")}
    correct("blue/000.png", "--keep", "--reason", "right after all")
    assert lines(paths) == {sha256: ("keep", "blue")}
    assert "the label blue of blue/000.png is kept, instead of exclude" in capsys.readouterr().err
    assert corrections.read(paths.corrections)[0].by
    correct(sha256[:12], "--withdraw")
    assert lines(paths) == {}
    assert paths.corrections.read_text() == "sha256,action,label,reason,by,date\n"


def test_the_file_that_a_page_handed_out_is_added(paths: Paths, capsys: pytest.CaptureFixture[str]) -> None:
    correct("red/000.png", "--exclude", *BY)
    correct("blue/000.png", "--keep", *BY)
    handed = shutil.move(paths.corrections, paths.root / "downloaded.csv")
    correct("red/000.png", "--label", "blue", *BY)
    assert correct("--merge", str(handed)) is None
    assert lines(paths) == {
        digest(paths, "red/000.png"): ("exclude", ""), digest(paths, "blue/000.png"): ("keep", "blue"),
    }  # fmt: skip
    told = capsys.readouterr().err
    assert "2 corrections of" in told
    assert "1 of them replace one" in told


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["red/000.png", "--label", "grey", *BY],
            "no image of the source has the label 'grey': take one of blue, red",
        ),
        (["red/000.png", "--label", "red", *BY], "is 'red' already: use --keep"),
        (["red/000.png", "--label", "blue"], "no reason is given"),
        (["nowhere.png", "--exclude", *BY], "'nowhere.png' is no image of data/raw and no file"),
        (["000.png", "--exclude", *BY], "'000.png' may be blue/000.png, red/000.png: give the whole path"),
        (["f" * 64, "--exclude", *BY], "no image of data/raw has the bytes of 'ffff"),
        (["red/001.png", "--keep", *BY], "stands under blue, red with the same bytes: give one by --label"),
        (["red/000.png", "--withdraw"], "has no correction in checks/corrections.csv"),
        (["--exclude", *BY], "no image is named"),
        (["--merge", "none.csv"], "none.csv is no file"),
        (["dvc.yaml", "--exclude", *BY], "no image of data/raw has the bytes of 'dvc.yaml'"),
    ],
)
def test_what_cannot_be_is_refused_and_the_file_stays(paths: Paths, arguments: list[str], message: str) -> None:
    before = paths.corrections.read_bytes()
    ended = correct(*arguments)
    assert ended is not None
    assert message in ended
    assert "\n" not in ended
    assert paths.corrections.read_bytes() == before


@pytest.mark.parametrize("named", ["red/000.png", "f" * 64])
def test_without_the_images_the_remedy_is_said(paths: Paths, named: str) -> None:
    (paths.raw / "red/000.png").unlink()
    ended = correct(named, "--exclude", *BY)
    assert ended is not None
    assert "red/000.png is missing: bring the images here with `dvc repro download`" in ended


def test_a_malformed_file_is_said_before_it_is_overwritten(paths: Paths) -> None:
    paths.corrections.write_text(paths.corrections.read_text() + "abc,keep,red,seen,Ann,2030-01-01\n")
    ended = correct("red/000.png", "--exclude", *BY)
    assert ended is not None
    assert "checks/corrections.csv: line 2: sha256 is 'abc'" in ended


def test_files_with_the_same_bytes_are_named_together(paths: Paths, capsys: pytest.CaptureFixture[str]) -> None:
    correct("red/001.png", "--label", "red", *BY)
    assert "blue/copy.png, red/001.png is relabelled from blue, red to red" in capsys.readouterr().err
