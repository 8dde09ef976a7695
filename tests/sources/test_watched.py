import os
from collections.abc import Callable
from pathlib import Path

import pytest

from unfreeze.errors import UnfreezeError
from unfreeze.sources.watched import require_hashable


def refused(watch: Path | str) -> str:
    with pytest.raises(UnfreezeError) as error:
        require_hashable(str(watch))
    message = str(error.value)
    message.encode()
    assert "\n" not in message
    return message


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("cat/1.jpg", "dog/2.jpg", ".git/config"):
        (tmp_path / "set" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "set" / name).touch()
    return tmp_path / "set"


def test_a_folder_that_dvc_can_hash_passes(folder: Path) -> None:
    (folder / "inside").symlink_to(folder / "cat")
    (folder / "link.jpg").symlink_to(folder / "cat/1.jpg")
    require_hashable(str(folder))
    require_hashable(str(folder / "cat/1.jpg"))


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda at: (at / "dog/gone.jpg").symlink_to("nowhere"), ["links to nothing (1): 'dog/gone.jpg'", "remove"]),
        (lambda at: (at / ".git/gone").symlink_to("nowhere"), ["links to nothing (1): '.git/gone'"]),
        (
            lambda at: (at / os.fsdecode(b"cat/caf\xe9.jpg")).touch(),
            [r"not UTF-8 (1): 'cat/caf\udce9.jpg'", "rename"],
        ),
        (lambda at: os.mkfifo(at / "cat/pipe"), ["neither files nor folders (1): 'cat/pipe'", "move them out"]),
    ],
)
def test_what_dvc_ends_on_is_named_with_the_remedy(
    folder: Path, make: Callable[[Path], None], expected: list[str]
) -> None:
    make(folder)
    message = refused(folder)
    assert all(part in message for part in expected)


def test_a_home_folder_is_written_out(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(folder))
    assert f"give the whole path, '{folder}/photos'" in refused("~/photos")


def test_an_unreadable_folder_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scandir = os.scandir

    def guarded(path: str) -> object:
        if str(path).endswith("/cat"):
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", guarded)
    assert f"'{folder}/cat' could not be read (Permission denied)" in refused(folder)


def test_what_is_not_there_is_named(tmp_path: Path) -> None:
    assert "does not exist" in refused(tmp_path / "none")
    (tmp_path / "link").symlink_to("nowhere")
    assert "is a link to nothing" in refused(tmp_path / "link")
