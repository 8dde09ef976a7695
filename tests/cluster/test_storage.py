"""Shards in a folder, in fsspec's file system in memory, and on a server of objects by the protocol of S3."""

import os
import re
import socket
from collections.abc import Iterator
from pathlib import Path

import fsspec
import numpy as np
import pytest

from tests.cluster.object_store import Objects, serve_objects, use_objects
from unfreeze.cluster.shards import Shard
from unfreeze.cluster.storage import Storage
from unfreeze.errors import UnfreezeError

SHARD = Shard("a" * 64, 4, 9)
NODE = re.escape(socket.gethostname())
ADDRESS = "s3://bucket/shards"
ROWS = np.arange(30, dtype="float16").reshape(5, 2, 3)


@pytest.fixture(scope="module")
def _server() -> Iterator[Objects]:
    with serve_objects() as server:
        yield server


@pytest.fixture
def objects(_server: Objects) -> Iterator[Objects]:
    """Return an empty server that this process may use."""
    with use_objects(_server):
        yield _server
    vars(_server).update(vars(Objects(port=_server.port)))


@pytest.fixture(params=["folder", "memory", "s3"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Storage]:
    if request.param == "s3":
        request.getfixturevalue("objects")
    addresses = {"folder": str(tmp_path / "shards"), "memory": f"memory://{tmp_path.name}", "s3": ADDRESS}
    yield Storage(addresses[request.param])
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


def test_a_full_disk_is_named_with_the_machine_and_leaves_no_shard(tmp_path: Path) -> None:
    storage = Storage(str(tmp_path))
    # The device that is always full, under the name of the file that is written.
    partial = tmp_path / f"{SHARD.id}.{socket.gethostname()}-{os.getpid()}.partial"
    partial.symlink_to("/dev/full")
    with pytest.raises(UnfreezeError, match=rf"{NODE} cannot write .*No space left on device.*: free space there"):
        storage.write(SHARD, [ROWS])
    assert list(tmp_path.iterdir()) == []
    storage.write(SHARD, [ROWS])
    assert storage.holds(SHARD)


# There is no room for the rows; there is for them, and not for their description; they may not be written.
@pytest.mark.parametrize(
    ("room", "readers", "said"),
    [(100, set(), "InsufficientStorage"), (200, set(), "InsufficientStorage"), (10**9, {"writer"}, "AccessDenied")],
)
def test_a_server_that_takes_no_shard_is_named_with_the_machine(
    objects: Objects, tmp_path: Path, room: int, readers: set[str], said: str
) -> None:
    objects.room, objects.readers = room, readers
    with pytest.raises(UnfreezeError, match=rf"^{NODE} cannot write cluster.storage={ADDRESS} \(.*{said}\): free"):
        Storage(ADDRESS).write(SHARD, [ROWS])
    assert len(objects.content) == (room == 200)
    # What other machines find is no shard.
    assert Storage(ADDRESS).read(SHARD, tmp_path) is None
    objects.room, objects.readers = 10**9, set()
    Storage(ADDRESS).write(SHARD, [ROWS])
    assert Storage(ADDRESS).holds(SHARD)


@pytest.mark.parametrize("suffix", ["npy", "json"])
def test_an_object_that_was_cut_short_is_computed_again(objects: Objects, tmp_path: Path, suffix: str) -> None:
    storage = Storage(ADDRESS)
    storage.write(SHARD, [ROWS])
    name = f"/bucket/shards/{SHARD.id}.{suffix}"
    objects.content[name] = objects.content[name][:-9]
    assert storage.read(SHARD, tmp_path) is None
    assert not storage.holds(SHARD)


@pytest.mark.parametrize("status", [403, 500])
def test_a_server_that_cannot_be_read_is_named_and_no_shard_is_given_up(
    objects: Objects, tmp_path: Path, status: int
) -> None:
    storage = Storage(ADDRESS)
    storage.write(SHARD, [ROWS])
    objects.fails = status
    said = rf"^{NODE} cannot read cluster.storage={ADDRESS} \(.*\): check the connection, its credentials"
    with pytest.raises(UnfreezeError, match=said):
        storage.holds(SHARD)
    objects.fails = 0
    assert storage.read(SHARD, tmp_path) is not None


def test_a_shard_is_seen_that_another_machine_wrote_after_the_folder_was_listed(objects: Objects) -> None:
    storage, name = Storage(ADDRESS), f"/bucket/shards/{SHARD.id}"
    objects.content["/bucket/shards/other.json"] = b"{}"
    assert not storage.holds(SHARD)
    fsspec.filesystem("s3").ls("bucket/shards")
    objects.content |= {f"{name}.npy": b"...", f"{name}.json": b"..."}
    assert storage.holds(SHARD)


def test_an_address_of_an_unknown_kind_is_refused() -> None:
    said = f"cluster.storage=nowhere://x is no folder and no address that {NODE} can use"
    with pytest.raises(UnfreezeError, match=said):
        Storage("nowhere://x")
