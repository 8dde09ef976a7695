"""Registered packages are fetched once, kept for when the registry is down, and never half there."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.tracking.logged import Logged, make_checkout
from tests.tracking.registered import register as register_without_package
from tests.tracking.stores import free, serving
from unfreeze import files
from unfreeze.errors import UnfreezeError
from unfreeze.paths import Paths
from unfreeze.serving.classifier import Classifier
from unfreeze.tracking import models, packages


@pytest.fixture
def made(packed: Path, tmp_path: Path) -> Logged:
    """Return a checkout whose store has a champion with a package."""
    made = make_checkout(tmp_path / "checkout", packed)
    made.registry.promote(made.register().number, expected=None, reason="first champion")
    return made


def list_kept(made: Logged) -> list[str]:
    return sorted(path.name for path in made.paths.registered("unfreeze").iterdir() if path.name.isdigit())


def test_a_champion_is_fetched_whole_once_and_answers(made: Logged) -> None:
    found = packages.fetch(made.paths, "models:/unfreeze@champion")
    assert found.folder == made.paths.root / "models/registered/unfreeze/1"
    assert (found.name, found.version, found.note) == ("models:/unfreeze/1", "1", "")
    assert models.hash_package(found.folder) == models.hash_package(made.package)
    Classifier(found.folder).try_example()
    # A second time nothing is downloaded.
    shutil.rmtree(made.paths.mlflow_artifacts / "models")
    assert packages.fetch(made.paths, "models:/unfreeze/1") == found


def test_an_alias_that_moved_is_followed(made: Logged) -> None:
    packages.fetch(made.paths, "models:/unfreeze@champion")
    made.change_threshold(0.25)
    made.registry.promote(made.register().number, expected=1, reason="another threshold")
    found = packages.fetch(made.paths, "models:/unfreeze@champion")
    assert found.version == "2"
    assert Classifier(found.folder).model.unsure.lowest == 0.25
    made.registry.rollback("it accepts too much")
    assert packages.fetch(made.paths, "models:/unfreeze@champion").version == "1"
    assert list_kept(made) == ["1", "2"]


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("models:/unfreeze@best", r"has no alias 'best': it has champion \(version 1\); `unfreeze promote` sets"),
        ("models:/unfreeze/7", "model 'unfreeze' has no version 7: it has 1"),
        ("models:/other@champion", "has no versions of a model 'other': it has unfreeze; `unfreeze promote`"),
        ("models:/unfreeze", "names no registered model: expected models:/NAME@ALIAS or models:/NAME/3"),
        ("models:/unfreeze/latest", "names no registered model"),
        ("models:/../1", "names no registered model"),
    ],
)
def test_what_does_not_exist_is_told_in_one_line_that_names_what_does(made: Logged, uri: str, message: str) -> None:
    with pytest.raises(UnfreezeError, match=message) as error:
        packages.fetch(made.paths, uri)
    assert "\n" not in str(error.value)


def test_a_version_of_an_older_unfreeze_has_no_package_and_the_line_names_the_remedy(made: Logged) -> None:
    old = register_without_package(made.registry, "of an older version")
    with pytest.raises(UnfreezeError, match="version 2 .* has no package, an older version .*`dvc repro`"):
        packages.fetch(made.paths, f"models:/unfreeze/{old.number}")
    assert list_kept(made) == []


def test_a_package_that_was_replaced_in_the_store_is_not_kept(made: Logged) -> None:
    (stored,) = made.paths.mlflow_artifacts.rglob("packed/model.bin")
    stored.write_bytes(stored.read_bytes()[:-4] + b"\0\0\0\1")
    with pytest.raises(UnfreezeError, match="the package of version 1 .* is not the one that was registered"):
        packages.fetch(made.paths, "models:/unfreeze@champion")
    assert list_kept(made) == []


def test_a_record_of_what_is_kept_that_was_damaged_is_made_again(made: Logged) -> None:
    found = packages.fetch(made.paths, "models:/unfreeze@champion")
    (made.paths.registered("unfreeze") / "kept.json").write_text("{")
    assert packages.fetch(made.paths, "models:/unfreeze@champion") == found


def test_versions_of_the_same_number_in_two_registries_are_told_apart(
    made: Logged, packed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packages.fetch(made.paths, "models:/unfreeze/1")
    other = make_checkout(tmp_path / "other", packed)
    other.change_threshold(0.125)
    other.register()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{other.paths.mlflow_database}")
    found = packages.fetch(made.paths, "models:/unfreeze/1")
    assert Classifier(found.folder).model.unsure.lowest == 0.125


def test_what_a_version_says_of_itself_is_in_its_tags_and_its_description(made: Logged) -> None:
    (version,) = made.registry.list_versions()
    described = Classifier(made.package).model
    assert float(version.tags["temperature"]) == described.temperature
    assert float(version.tags["unsure_below"]) == pytest.approx(described.unsure.lowest, rel=1e-5)
    limits = described.unlike
    assert version.tags["unlike_beyond"] == f"cosine {limits.cosine:.6g}, Euclidean {limits.euclidean:.6g}"
    assert set(described.classes) == set(json.loads(version.tags["example_probabilities"]))
    text = made.registry.server.client.get_model_version("unfreeze", "1").description
    assert "blue, green, red" in text
    assert "`unlike training` beyond a cosine distance of" in text


@pytest.fixture
def remote(packed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Logged, str]]:
    """Give a checkout whose champion is on a server that is gone after the fetch."""
    made, port = make_checkout(tmp_path / "checkout", packed), free()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{port}")
    yield made, f"http://127.0.0.1:{port}"


def test_the_kept_copy_answers_while_the_registry_is_down_and_says_so(
    remote: tuple[Logged, str], tmp_path: Path
) -> None:
    made, address = remote
    with serving(tmp_path, int(address.rpartition(":")[2])):
        made.registry.promote(made.register().number, expected=None, reason="first champion")
        up = packages.fetch(made.paths, "models:/unfreeze@champion")
        assert up.note == ""
    for uri in ("models:/unfreeze@champion", "models:/unfreeze/1"):
        down = packages.fetch(made.paths, uri)
        assert (down.folder, down.version) == (up.folder, "1")
        assert f"MLflow at {address} failed" in down.note
        assert f"the kept copy of version 1 answers for {uri}" in down.note
        assert "\n" not in down.note
    for uri in ("models:/unfreeze@challenger", "models:/unfreeze/2", "models:/other/1"):
        with pytest.raises(UnfreezeError, match=f"failed .*start it, .*no copy of {uri} is kept here") as error:
            packages.fetch(made.paths, uri)
        assert "\n" not in str(error.value)
    # Another checkout has no copy.
    files.remove(made.paths.registered("unfreeze"))
    with pytest.raises(UnfreezeError, match="no copy of models:/unfreeze/1 is kept here"):
        packages.fetch(Paths(made.paths.root), "models:/unfreeze/1")
