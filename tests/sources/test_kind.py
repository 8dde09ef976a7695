"""A kind of source from a checkout's own plugins, with no change of the package."""

from pathlib import Path

import pytest
import yaml

from tests.conftest import PROJECT, draw
from unfreeze.errors import UnfreezeError
from unfreeze.settings.params import load
from unfreeze.sources import collect

# Images whose file names begin with their label, in one folder.
PREFIXED = """
import shutil
from pathlib import Path
from typing import Literal

from unfreeze.errors import UnfreezeError
from unfreeze.settings.sources import Source
from unfreeze.sources.kind import Brought, Kind, Workplace, register


class PrefixedSource(Source):
    kind: Literal["prefixed"]
    separator: str = "_"


def check(source: PrefixedSource) -> None:
    if not Path(source.source).is_dir():
        raise UnfreezeError(f"data.source {source.source} does not exist")


def bring(source: PrefixedSource, place: Workplace) -> Brought:
    for file in Path(source.source).iterdir():
        target = place.unpacked / file.name.partition(source.separator)[0] / file.name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, target)
    return Brought(place.unpacked, "f" * 64)


register(Kind(PrefixedSource, check, bring))
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "plugins/sources").mkdir(parents=True)
    (tmp_path / "plugins/sources/prefixed.py").write_text(PREFIXED)
    return tmp_path


def write_params(folder: Path, **data: object) -> Path:
    """Write params.yaml with a section `data` of the new kind."""
    values = yaml.safe_load((PROJECT / "params.yaml").read_text())
    values["data"] = {"kind": "prefixed", "name": "mine", "source": "photos", "watch": "photos", **data}
    (folder / "params.yaml").write_text(yaml.safe_dump(values))
    return folder / "params.yaml"


def test_a_kind_from_plugins_works_through_params(folder: Path) -> None:
    source = load(write_params(folder, separator="-")).data
    with pytest.raises(UnfreezeError, match="photos does not exist"):
        collect.check_reachable(source)
    (folder / "photos").mkdir()
    for name in ("cat-1.png", "cat-2.png", "dog-1.png"):
        draw((100, 100, 100), 0).save(folder / "photos" / name)
    collected = collect.collect(source, folder / "raw", downloads=folder / ".downloads")
    assert collected.index.values.tolist() == [
        ["cat/cat-1.png", "cat"], ["cat/cat-2.png", "cat"], ["dog/dog-1.png", "dog"],
    ]  # fmt: skip
    assert collected.sha256 == "f" * 64
    assert (folder / "raw/dog/dog-1.png").exists()
    assert not (folder / ".downloads").exists()


def test_its_settings_are_checked_like_those_of_every_kind(folder: Path) -> None:
    with pytest.raises(UnfreezeError, match=r"data.seperator: unknown parameter, did you mean 'separator'\?"):
        load(write_params(folder, seperator="-"))
