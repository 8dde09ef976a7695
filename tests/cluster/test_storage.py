"""Shards in a folder, and at an address that is no folder (fsspec's in-memory file system, a real one)."""

import re
from collections.abc import Iterator
from pathlib import Path

import fsspec
import numpy as np
import pytest

from unfreeze.cluster.shards import Shard
from unfreeze.cluster.storage import Storage
from unfreeze.errors import UnfreezeError

SHARD = Shard("a" * 64, 4, 9)
ROWS = np.arange(30, dtype="float16").reshape(5, 2, 3)


@pytest.fixture(params=["folder", "address"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Storage]:
    yield Storage(str(tmp_path / "shards") if request.param == "folder" else f"memory://{tmp_path.name}")
    fsspec.filesystem("memory").store.clear()


def test_rows_come_back_as_they_were(storage: Storage, tmp_path: Path) -> None:
    assert not storage.holds(SHARD)
    assert storage.read(SHARD, tmp_path) is None
    storage.write(SHARD, [ROWS[:2], ROWS[2:]])
    assert storage.holds(SHARD)
    rows = storage.read(SHARD, tmp_path)
    assert rows is not None
    assert rows.dtype == ROWS.dtype
    assert np.array_equal(rows, ROWS)


def test_texts_of_a_shard_are_as_wide_as_its_longest(storage: Storage, tmp_path: Path) -> None:
    texts = [b"a", b"bb", b"cccc", b"", b"d"]
    storage.write(SHARD, [np.array(texts[:2]), np.array(texts[2:])])
    rows = storage.read(SHARD, tmp_path)
    assert rows is not None
    assert rows.tolist() == texts
    assert rows.itemsize == 4


@pytest.mark.parametrize("blocks", [[ROWS[:2]], [ROWS, ROWS], []])
def test_a_shard_with_other_rows_is_not_finished(storage: Storage, blocks: list[np.ndarray]) -> None:
    with pytest.raises(RuntimeError, match=re.escape("shard 4 to 9 got ")):
        storage.write(SHARD, blocks)
    assert not storage.holds(SHARD)


def test_a_shard_whose_computation_fails_is_not_finished(storage: Storage) -> None:
    def blocks() -> Iterator[np.ndarray]:
        yield ROWS[:2]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        storage.write(SHARD, blocks())
    assert not storage.holds(SHARD)


@pytest.mark.parametrize("place", [0, 80, -1])
def test_a_damaged_byte_is_noticed(tmp_path: Path, place: int, caplog: pytest.LogCaptureFixture) -> None:
    storage = Storage(str(tmp_path / "shards"))
    storage.write(SHARD, [ROWS])
    path = tmp_path / f"shards/{SHARD.id}.npy"
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)
    assert storage.read(SHARD, tmp_path) is None
    assert "is damaged (its bytes are not those that were written): it is computed again" in caplog.text
    assert not storage.holds(SHARD)


def test_a_folder_that_cannot_be_written_is_named_with_the_machine(tmp_path: Path) -> None:
    (tmp_path / "shards").write_text("a file, no folder")
    with pytest.raises(UnfreezeError, match=rf"cannot write cluster.storage={tmp_path}/shards .*: free space there"):
        Storage(str(tmp_path / "shards")).write(SHARD, [ROWS])


def test_an_address_of_an_unknown_kind_is_refused() -> None:
    with pytest.raises(
        UnfreezeError, match="cluster.storage=nowhere://x is no folder and no address that can be used"
    ):
        Storage("nowhere://x")
