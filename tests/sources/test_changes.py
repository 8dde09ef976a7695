"""A source that is written to while it is copied."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.sources.layouts import Tree, spread
from unfreeze.errors import UnfreezeError
from unfreeze.settings.sources import FolderSource
from unfreeze.sources import collect


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda at: (at / "cat/new.jpg").touch(), "1 came ('cat/new.jpg')"),
        (lambda at: (at / "dog/4.jpg").write_bytes(b"other"), "1 changed ('dog/4.jpg')"),
        (lambda at: os.utime(at / "dog/4.jpg", (1, 1)), "1 changed ('dog/4.jpg')"),
        (lambda at: (at / "cat/0.jpg").unlink(), "1 went ('cat/0.jpg')"),
    ],
)
def test_a_source_that_changes_while_it_is_copied_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: Callable[[Path], None], expected: str
) -> None:
    root = Tree(spread("{label}/{n}.jpg")).write(tmp_path / "set")
    copy, copied = shutil.copyfile, []

    def copy_and_change(source: Path, target: Path) -> None:
        copy(source, target)
        copied.append(source)
        if len(copied) == 2:
            change(root)

    monkeypatch.setattr(shutil, "copyfile", copy_and_change)
    source = FolderSource(kind="folder", name="x", source=str(root), watch=str(root))
    with pytest.raises(UnfreezeError) as error:
        collect.collect(source, tmp_path / "raw", downloads=tmp_path / "downloads")
    assert "changed while it was read" in str(error.value) and expected in str(error.value)


def test_a_source_that_stays_as_it_is_is_copied(tmp_path: Path) -> None:
    root = Tree(spread("{label}/{n}.jpg")).write(tmp_path / "set")
    source = FolderSource(kind="folder", name="x", source=str(root), watch=str(root))
    assert len(collect.collect(source, tmp_path / "raw", downloads=tmp_path / "downloads").index) == 6
