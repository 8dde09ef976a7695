"""A checkout with a registry is moved or copied: champion, versions, log and files stay."""

import shutil
import sqlite3
from pathlib import Path

import mlflow
import pytest

from tests.tracking.registered import MODEL, register, registry
from unfreeze.errors import UnfreezeError
from unfreeze.tracking.registry import Registry


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """A checkout whose registry has two versions, the second of them champion; a space and an umlaut in its name."""
    root = tmp_path / "as it wär"
    root.mkdir()
    where = registry(root)
    for number, content in enumerate(["first", "second"], start=1):
        register(where, content)
        where.promote(number, expected=number - 1 or None, reason=content)
    where.server.client.log_text(where.list_versions()[0].run_id, "seen", "told.txt")
    return root


def state(where: Registry) -> object:
    """Return what people see of a registry."""
    where.server.require()
    return [(one.number, one.aliases, dict(one.tags)) for one in where.list_versions()], where.list_transitions()


def test_a_moved_checkout_keeps_its_registry(made: Path, tmp_path: Path) -> None:
    before = state(registry(made))
    moved = Path(shutil.move(made, tmp_path / "moved"))
    where = registry(moved)
    assert state(where) == before
    (newest, _) = where.list_versions()
    assert where.download(newest, tmp_path / "out").read_text() == "second"
    assert where.server.client.list_artifacts(newest.run_id)[0].path == "told.txt"
    assert where.rollback("it fails on snow").to == 1
    assert register(where, "third").number == 3
    # A service that loads the champion by its alias finds the file too.
    found = mlflow.MlflowClient(where.server.uri).get_model_version_download_uri(MODEL, "1")
    assert str(tmp_path / "moved") in found


def test_a_copy_does_not_touch_the_original(made: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(made, tmp_path / "copy"))
    register(registry(copy), "third")
    (newest, *_) = registry(copy).list_versions()
    assert newest.source.startswith(copy.as_uri())
    assert [version.number for version in registry(made).list_versions()] == [2, 1]
    assert all(version.source.startswith(made.as_uri()) for version in registry(made).list_versions())


def test_a_database_that_was_copied_without_its_files_is_left_as_it_is(made: Path, tmp_path: Path) -> None:
    alone = tmp_path / "alone"
    alone.mkdir()
    shutil.copy(made / "mlflow.db", alone)
    before = (alone / "mlflow.db").read_bytes()
    with pytest.raises(UnfreezeError) as told:
        registry(alone).server.require()
    assert str(told.value) == (
        f"mlflow.db names files in {made}/mlartifacts, and they were not copied with it: copy that folder to "
        f"{alone}/mlartifacts, then run this again"
    )
    assert (alone / "mlflow.db").read_bytes() == before
    shutil.copytree(made / "mlartifacts", alone / "mlartifacts")
    assert state(registry(alone)) == state(registry(made))


def test_a_database_of_an_older_schema_names_the_command_that_upgrades_it(made: Path, tmp_path: Path) -> None:
    # In this process MLflow has looked at the schema of the first already.
    old = Path(shutil.copytree(made, tmp_path / "old checkout"))
    with sqlite3.connect(old / "mlflow.db") as database:
        database.execute("UPDATE alembic_version SET version_num = '75868b020152'")
    with pytest.raises(UnfreezeError) as told:
        registry(old).server.require()
    (line,) = str(told.value).splitlines()
    assert line.endswith(f"copy the database, then run `mlflow db upgrade 'sqlite:///{old}/mlflow.db'`")


def test_a_file_that_is_no_database_is_not_to_be_removed(tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").write_text("no database, but longer than the header of one " * 9)
    with pytest.raises(UnfreezeError, match="keep the file, it holds the registered models"):
        registry(tmp_path).server.require()
