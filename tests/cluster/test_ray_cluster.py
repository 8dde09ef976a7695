"""Rows from a real cluster of Ray on this machine, whose nodes, workers and drivers die."""

import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests import warm
from tests.cluster.object_store import serve_objects, use_objects
from tests.cluster.ray_nodes import MISSING
from tests.cluster.test_tasks import Square, job
from tests.conftest import CHECKS, LIMITS, PATIENCE, PROJECT, draw, wait_until_ended
from unfreeze import files
from unfreeze.checks import manifest
from unfreeze.cluster.node import describe_node, find_differences
from unfreeze.cluster.ray_cluster import RayCluster, connect
from unfreeze.cluster.shards import Compute, Work, plan_shards
from unfreeze.cluster.storage import Storage
from unfreeze.errors import UnfreezeError
from unfreeze.paths import Paths
from unfreeze.settings.cluster import Cluster
from unfreeze.stages import check

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("ray")]
# Of tests that start no cluster.
needs_ray = pytest.mark.skipif(find_spec("ray") is None, reason=MISSING)

SETTINGS = Cluster(engine="ray", storage=None, rows_per_shard=8, cpus_per_worker=1, tries=2, max_file_gb=1)
ROWS = [number**2 for number in range(60)]


def note(journal: Path, start: int) -> None:
    """Write down that a shard is begun, and by which process."""
    with journal.open("a") as stream:
        stream.write(f"{start} {os.getpid()}\n")


def compute(journal: Path, seconds: float, start: int, stop: int) -> Iterator[np.ndarray]:
    note(journal, start)
    time.sleep(seconds)
    for first in range(start, stop, 3):
        yield np.arange(first, min(first + 3, stop), dtype="int64")[:, None] ** 2


def fail_at_16(journal: Path, start: int, stop: int) -> Iterator[np.ndarray]:
    if start == 16:
        note(journal, start)
        raise ValueError("no such row")
    yield from compute(journal, 0, start, stop)


def load(function: Any, *arguments: Any) -> Compute:
    return partial(function, *arguments)


def name_images(start: int, stop: int) -> str:
    return f"images {start}.png to {stop - 1}.png"


def work(journal: Path, *, seconds: float = 0.0) -> Work:
    return Work("squares", {}, (20, 40), partial(load, compute, journal, seconds), name_rows=name_images)


def refuse(start: int, stop: int) -> Iterator[np.ndarray]:
    raise AssertionError("rows are computed in the driver")


def collect(of: Work, storage: Path | str, settings: Cluster = SETTINGS, done: int = 0) -> list[int]:
    blocks = RayCluster(settings, Storage(str(storage))).iterate_rows(replace(of, loaded=refuse), done)
    return [int(row[0]) for block in blocks for row in block]


def wait_for_lines(journal: Path, count: int) -> list[tuple[int, int]]:
    ends = time.monotonic() + PATIENCE
    while time.monotonic() < ends:
        lines = journal.read_text().splitlines() if journal.exists() else []
        if len(lines) >= count:
            return [(int(start), int(pid)) for start, pid in map(str.split, lines)]
        time.sleep(0.05)
    raise AssertionError(f"{count} shards are not begun")


def wait_for_end(journal: Path) -> None:
    """Wait until the workers that have begun shards are gone, as they are soon after their driver."""
    wait_until_ended({worker for _, worker in wait_for_lines(journal, 1)})


@pytest.mark.parametrize("size", [8, 7, 4096])
def test_rows_are_those_of_one_machine(nodes: Any, tmp_path: Path, size: int) -> None:
    settings = SETTINGS.model_copy(update={"rows_per_shard": size})
    of = work(tmp_path / "journal")
    assert collect(of, tmp_path / "shards", settings) == ROWS
    begun = wait_for_lines(tmp_path / "journal", 1)
    assert sorted(start for start, _ in begun) == [shard.start for shard in plan_shards(of, size)]
    # What is finished is never computed again, and rows that are not needed are left out.
    assert collect(of, tmp_path / "shards", settings, done=13) == ROWS[13:]
    assert wait_for_lines(tmp_path / "journal", 1) == begun


def test_a_damaged_shard_is_computed_again(nodes: Any, tmp_path: Path) -> None:
    of = work(tmp_path / "journal")
    assert collect(of, tmp_path / "shards") == ROWS
    spoilt = tmp_path / f"shards/{plan_shards(of, 8)[3].id}.npy"
    spoilt.write_bytes(spoilt.read_bytes()[:-1] + b"?")
    assert collect(of, tmp_path / "shards") == ROWS
    assert len(wait_for_lines(tmp_path / "journal", 1)) == 8 + 1


@pytest.mark.parametrize("victim", ["worker", "node"])
def test_what_is_lost_midway_is_computed_by_others(nodes: Any, tmp_path: Path, victim: str) -> None:
    of, journal = work(tmp_path / "journal", seconds=0.4), tmp_path / "journal"
    third = nodes.add_node(num_cpus=1) if victim == "node" else None
    found: list[list[int]] = []
    thread = threading.Thread(target=lambda: found.append(collect(of, tmp_path / "shards")))
    thread.start()
    begun = wait_for_lines(journal, 4)
    if third is not None:
        nodes.remove_node(third, allow_graceful=False)
    else:
        os.kill(begun[-1][1], signal.SIGKILL)
    thread.join(PATIENCE)
    assert found == [ROWS]
    # Later tests get no worker on a node that Ray still counts.
    nodes.wait_for_nodes()
    begun = wait_for_lines(journal, 1)
    shards = plan_shards(of, 8)
    assert {start for start, _ in begun} == {shard.start for shard in shards}
    assert len(begun) <= len(shards) + 1


DRIVER = """
import sys
from pathlib import Path
from tests.cluster.test_ray_cluster import collect, work
print(collect(work(Path(sys.argv[1]), seconds=0.4), Path(sys.argv[2])))
"""


def test_where_the_driver_was_killed_the_next_run_goes_on(nodes: Any, tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    command = [warm.find_programs() / "python", "-c", DRIVER, str(journal), str(tmp_path / "shards")]
    with subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.PIPE) as driver:
        wait_for_lines(journal, 4)
        driver.kill()
    wait_for_end(journal)
    finished = len(list((tmp_path / "shards").glob("*.json")))
    assert 0 < finished < 8
    assert collect(work(journal), tmp_path / "shards") == ROWS
    # At most what the two workers had under way is computed a second time.
    assert len(wait_for_lines(journal, 1)) <= 8 + 2


def test_a_shard_that_fails_again_and_again_is_named_and_the_others_are_kept(nodes: Any, tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    failing = replace(work(journal), load=partial(load, fail_at_16, journal))
    with pytest.raises(UnfreezeError) as caught:
        collect(failing, tmp_path / "shards")
    said = (
        "squares: failed on 2 workers: images 16.png to 19.png (ValueError: no such row). All other shards are kept"
    )
    assert str(caught.value) == said
    assert [start for start, _ in wait_for_lines(journal, 1)].count(16) == 2
    assert len(list((tmp_path / "shards").glob("*.json"))) == 7


# A measure that does what codecs do on some images.
DEADLY = """
import os, time
from unfreeze.checks.image_check import ImageCheck, register

def measure(picture):
    if picture.path.stem == "crash":
        os.abort()
    return time.sleep(99 if picture.path.stem == "hang" else 0)

register(ImageCheck(name="deadly", level="off", title="", meaning="", remedy="", measures={"end": measure}, find=len))
"""


def load_deadly(paths: Paths) -> Compute:
    os.chdir(paths.root)
    limits = LIMITS.model_copy(update={"seconds_per_image": 4})
    return check.load_compute(check.Settings(0, "", limits, CHECKS), paths)


def test_an_image_that_crashes_or_hangs_its_codec_costs_one_row(nodes: Any, tmp_path: Path) -> None:
    files.write_text(tmp_path / "plugins/image_checks/deadly.py", DEADLY)
    index = pd.DataFrame({"path": ["a.png", "crash.png", "b.png", "hang.png", "c.png"], "label": "x"})
    paths = Paths(tmp_path)
    files.write_csv(paths.raw_index, index)
    paths.raw.mkdir()
    for name in index["path"]:
        draw((90, 90, 90), 0).save(paths.raw / name)
    measuring = Work("check", {}, (5,), partial(load_deadly, paths))
    blocks = RayCluster(SETTINGS, Storage(str(tmp_path / "shards"))).iterate_rows(measuring)
    rows = manifest.measure_images(index, paths.raw, LIMITS, blocks)
    assert rows["reason"].tolist() == ["", "ends its process by SIGABRT", "", "takes longer than 4 s", ""]
    assert rows["width"].notna().tolist() == [True, False, True, False, True]
    # A million of such rows take less than 1 GB.
    (shard,) = (tmp_path / "shards").glob("*.npy")
    assert np.load(shard).itemsize < 1000


def test_storage_that_a_worker_cannot_write_is_told_once(nodes: Any, tmp_path: Path) -> None:
    (tmp_path / "shards").write_text("a file, no folder")
    with pytest.raises(UnfreezeError, match=r"cannot write cluster.storage=.*shards .*: free space there"):
        collect(work(tmp_path / "journal"), tmp_path / "shards")


def load_on_a_node(keys: dict[str, str], environment: dict[str, str], journal: Path) -> Compute:
    """Return what computes rows, with the credentials of the node that it runs on."""
    import ray

    os.environ.update(environment, AWS_ACCESS_KEY_ID=keys[ray.get_runtime_context().get_node_id()])
    return partial(wait_and_compute if os.environ["AWS_ACCESS_KEY_ID"] == "reader" else compute, journal, 0.0)


def wait_and_compute(journal: Path, seconds: float, start: int, stop: int) -> Iterator[np.ndarray]:
    """Yield rows when the other node has finished a shard and begun another one."""
    yield from compute(journal, seconds, start, stop)
    wait_for_lines(journal, 3)


def test_a_node_that_may_not_write_to_the_server_ends_the_run_and_all_shards_are_whole(
    nodes: Any, tmp_path: Path
) -> None:
    keys = dict(zip([node.node_id for node in nodes.worker_nodes], ["writer", "reader"], strict=False))
    with serve_objects() as objects, use_objects(objects):
        objects.readers = {"reader"}
        load_there = partial(load_on_a_node, keys, objects.environment, tmp_path / "journal")
        of, address = replace(work(tmp_path / "journal"), load=load_there), "s3://bucket/shards"
        with pytest.raises(UnfreezeError) as caught:
            collect(of, address)
        said = f"{socket.gethostname()} cannot write cluster.storage={address} (PermissionError: AccessDenied): free"
        assert str(caught.value).startswith(said)
        # A worker that was ended with the run may have written the rows of a shard and not that they are whole.
        finished = {name.removesuffix(".json") for name in objects.content if name.endswith(".json")}
        assert 0 < len(finished) < 8
        assert {f"{name}.npy" for name in finished} <= set(objects.content)
        # The next run takes what is there, and needs but the rest.
        objects.readers = set()
        begun = len(wait_for_lines(tmp_path / "journal", 1))
        assert collect(of, address) == ROWS
        assert len(wait_for_lines(tmp_path / "journal", 1)) == begun + 8 - len(finished)


def test_a_cluster_without_so_many_processors_is_refused(nodes: Any, tmp_path: Path) -> None:
    settings = SETTINGS.model_copy(update={"cpus_per_worker": 64})
    with pytest.raises(UnfreezeError, match="no machine of the cluster has 64 processors"):
        collect(work(tmp_path / "journal"), tmp_path / "shards", settings)


@needs_ray
@pytest.mark.parametrize(
    ("address", "said"),
    [(None, "RAY_ADDRESS is not set: set it to the address"), ("127.0.0.1:1", "answers at RAY_ADDRESS=127.0.0.1:1")],
)
def test_an_address_without_ray_ends_in_one_line(address: str | None, said: str) -> None:
    code = (
        "from unfreeze.cluster.ray_cluster import connect\nfrom unfreeze.errors import UnfreezeError\n"
        "try: connect()\nexcept UnfreezeError as error: print(error)"
    )
    environment = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
    environment |= {"RAY_ADDRESS": address} if address else {}
    done = subprocess.run(
        [warm.find_programs() / "python", "-c", code], env={**environment, "PYTHONPATH": str(PROJECT / "src")},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert said in done.stdout
    assert len(done.stdout.splitlines()) == 1


@needs_ray
@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, []),
        ({"code": "f" * 64}, ["another commit: check out this one there, or share the folder"]),
        ({"lock": "f" * 64}, ["another requirements.lock: run `make install` there"]),
        ({"instruction_sets": "neon"}, ["a processor with neon, and here"]),
        ({"versions": "Python 3.13.0"}, ["Python 3.13.0, and here Python 3"]),
        ({"clock": 1e9}, ["s off: set it, as by NTP"]),
    ],
)
def test_a_machine_that_would_compute_otherwise_is_told_by_what(changes: dict[str, Any], said: list[str]) -> None:
    mine = describe_node()
    found = find_differences(mine, replace(mine, **changes))
    assert len(found) == len(said)
    assert all(part in text for part, text in zip(said, found, strict=True))


def test_joining_twice_is_joining_once(nodes: Any) -> None:
    connect()
    connect()


def test_tasks_are_tried_again_on_other_workers_and_given_up_at_last(nodes: Any, tmp_path: Path) -> None:
    given_up = job(tmp_path, give_up=lambda task, tries: (task.number, tries))
    with RayCluster(SETTINGS, Storage(str(tmp_path))).open_tasks(given_up) as run:
        assert list(run([Square(3), Square(2, deaths=1)])) == [9, 4]
        assert list(run([Square(4, deaths=9), Square(5)])) == [(4, 2), 25]
