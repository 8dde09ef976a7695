import json
from pathlib import Path

import pytest

from unfreeze.paths import Paths
from unfreeze.records import code_digests
from unfreeze.records.code import Source
from unfreeze.records.code_digests import find_digests

FILES = {
    "src/unfreeze/stages/grow.py": (
        "from plugins.sizes import SIZE\nTEXT = 'page.html.j2'\ndef run(paths):\n    return SIZE\n"
    ),
    "src/unfreeze/templates/page.html.j2": "<p>1</p>",
    "plugins/sizes.py": "SIZE = 1\n",
    "conf/backbones/own.yaml": "builder: sizes:build\nsize: 1\n",
}


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return Paths(tmp_path)


@pytest.mark.parametrize("name", FILES)
def test_after_an_edit_of_any_file_they_are_those_of_the_new_code(paths: Paths, name: str) -> None:
    find_digests(paths)
    (paths.root / name).write_text(FILES[name].replace("1", "2"))
    assert find_digests(paths) == Source(paths.root).compute_digests()


def test_code_that_is_known_is_not_read_again(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    digests = find_digests(paths)
    monkeypatch.setattr(code_digests, "Source", None)
    assert find_digests(paths) == digests


@pytest.mark.parametrize("kept", ["", "[]", "{}", '{"files": 1, "digests": {}}', '{"files": "'])
def test_what_cannot_be_read_is_computed_again(paths: Paths, kept: str) -> None:
    digests = find_digests(paths)
    paths.known_code.write_text(kept)
    assert find_digests(paths) == digests
    assert json.loads(paths.known_code.read_text())["digests"] == digests


def test_where_nothing_can_be_kept_they_are_computed(paths: Paths) -> None:
    (paths.root / ".dvc").write_text("no folder")
    assert find_digests(paths) == Source(paths.root).compute_digests()
