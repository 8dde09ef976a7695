"""The network of a package is found by its digest, wherever it lies beside the package."""

from pathlib import Path

import pytest

from unfreeze import files
from unfreeze.records.packed_model import PackedModel
from unfreeze.serving.locate import search_network


@pytest.fixture
def package(tmp_path: Path) -> Path:
    folder = tmp_path / "models/packed/xception"
    folder.mkdir(parents=True)
    return folder


def describe(network: bytes, folder: Path) -> PackedModel:
    """Return a package's description as far as it is looked at."""
    path = folder / "digest"
    path.write_bytes(network)
    return PackedModel.model_construct(backbone="xception", model_sha256=files.hash_file(path))


@pytest.mark.parametrize(
    "place", ["models/xception.keras", "models/packed/xception/other.keras", "models/packed/a.keras"]
)
def test_it_may_be_in_the_package_or_above_it_by_any_name(package: Path, tmp_path: Path, place: str) -> None:
    model = describe(b"network", tmp_path)
    assert search_network(package, model) is None
    (tmp_path / "models/packed/xception/xception.keras").write_bytes(b"another network")
    (tmp_path / place).write_bytes(b"network")
    assert search_network(package, model) == tmp_path / place


def test_files_that_are_named_come_first(package: Path, tmp_path: Path) -> None:
    for path in (tmp_path / "models/xception.keras", tmp_path / "kept.keras"):
        path.write_bytes(b"network")
    found = search_network(package, describe(b"network", tmp_path), tmp_path / "none.keras", tmp_path / "kept.keras")
    assert found == tmp_path / "kept.keras"
