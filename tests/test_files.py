from collections.abc import Callable
from pathlib import Path

import pytest

from unfreeze import files
from unfreeze.errors import UnfreezeError


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    target = tmp_path / "deep/file.txt"
    files.write_text(target, "old")
    with pytest.raises(RuntimeError), files.atomic(target) as partial:
        partial.write_text("half")
        raise RuntimeError
    assert target.read_text() == "old"
    assert list(target.parent.iterdir()) == [target]


def test_a_folder_replaces_the_old_one_as_a_whole(tmp_path: Path) -> None:
    target = tmp_path / "folder"
    for name in ("first", "second"):
        with files.atomic(target) as partial:
            partial.mkdir()
            (partial / name).touch()
    assert [path.name for path in target.iterdir()] == ["second"]


def test_nan_is_no_json(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        files.write_json(tmp_path / "x.json", {"loss": float("nan")})
    assert not list(tmp_path.iterdir())


def test_sha256_is_the_published_one_of_abc(tmp_path: Path) -> None:
    (tmp_path / "abc").write_text("abc")
    assert files.hash_file(tmp_path / "abc").startswith("ba7816bf8f01cfea414140de5dae2223")


@pytest.mark.parametrize(("name", "read"), [("x.json", files.read_json), ("x.yaml", files.read_yaml)])
def test_a_merge_conflict_is_named_with_its_line_and_the_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, read: Callable[[Path], object]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).write_text('{\n<<<<<<< HEAD\n"a": 1\n=======\n"a": 2\n>>>>>>> theirs\n}\n')
    with pytest.raises(UnfreezeError) as told:
        read(tmp_path / name)
    assert str(told.value) == (
        f"{name} holds git merge conflict markers at line 2: edit it, or take one side (`git checkout --ours {name}` "
        f"or `--theirs {name}`), then run `dvc repro` and commit what it writes"
    )


@pytest.mark.parametrize(
    ("name", "content", "line"),
    [
        ("x.json", b'{"a": [1,', "x.json is not valid JSON (Expecting value: line 1 column 10 (char 9)): correct it"),
        ("x.yaml", b"a: [1,\n", "x.yaml is not valid YAML (while parsing a flow node"),
        ("x.yaml", b"a: caf\xe9\n", "x.yaml is not text in UTF-8 ("),
    ],
)
def test_a_file_that_was_cut_short_names_the_cure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, content: bytes, line: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UnfreezeError) as told:
        (files.read_json if name.endswith("json") else files.read_yaml)(tmp_path / name)
    assert str(told.value).startswith(line)
    assert str(told.value).endswith(f"or take the committed one with `git checkout {name}`; then run `dvc repro`")
    assert "\n" not in str(told.value)
