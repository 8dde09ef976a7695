"""The stages that can be divided, on a cluster that loses a worker, then a node, and then the driver."""

import os
import signal
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests import warm
from tests.cluster.divided_stages import ROWS, list_works, prepare
from tests.cluster.held_work import hold_back, let_go
from tests.cluster.test_ray_cluster import SETTINGS, wait_for_end, wait_for_lines
from tests.conftest import PROJECT, wait_until_ended
from unfreeze.cluster.local import Local
from unfreeze.cluster.ray_cluster import RayCluster
from unfreeze.cluster.shards import Cluster, Work
from unfreeze.cluster.storage import Storage
from unfreeze.errors import UnfreezeError
from unfreeze.images import store

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("ray")]

ONE_BY_ONE = SETTINGS.model_copy(update={"rows_per_shard": 1})

DRIVER = """
import pickle, sys
from pathlib import Path
from unfreeze.cluster.ray_cluster import RayCluster
from unfreeze.cluster.storage import Storage
settings, work = pickle.loads(Path(sys.argv[1]).read_bytes())
list(RayCluster(settings, Storage(sys.argv[2])).iterate_rows(work))
"""


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a study."""
    return tmp_path_factory.mktemp("study")


@pytest.fixture(scope="module")
def works(study: Path) -> dict[str, Work]:
    """Return the work of each stage."""
    return list_works(*prepare(study))


def lose_worker_node_and_driver(nodes: Any, work: Work, journal: Path, shards: Path) -> None:
    """Lose one after the other, each when the work of the one before was taken over."""
    from ray import cloudpickle

    let_go(journal, 0)
    # As Ray sends it.
    (journal.parent / "work").write_bytes(cloudpickle.dumps((ONE_BY_ONE, work)))
    command = [warm.find_programs() / "python", "-c", DRIVER, str(journal.parent / "work"), str(shards)]
    with subprocess.Popen(command, cwd=PROJECT, stderr=subprocess.DEVNULL) as driver:
        workers = [worker for _, worker in wait_for_lines(journal, 3)]
        assert len(set(workers)) == 3, "each of the three nodes is at work"
        os.kill(workers[0], signal.SIGKILL)
        workers = [worker for _, worker in wait_for_lines(journal, 4)][1:]
        nodes.lose_node_of(workers[-1])
        wait_until_ended([workers[-1]])
        # The last two are the rows that were lost, which others have begun again.
        let_go(journal, ROWS)
        wait_for_lines(journal, ROWS + 2)
        driver.kill()
    wait_for_end(journal)


@pytest.mark.parametrize("stage", ["check", "preprocess", "extract", "evaluate", "predict"])
def test_what_a_stage_loses_is_computed_again_and_nothing_else(
    nodes: Any, works: dict[str, Work], stage: str, tmp_path: Path
) -> None:
    nodes.resize(3)
    journal, shards = tmp_path / "journal", tmp_path / "shards"
    lose_worker_node_and_driver(nodes, hold_back(works[stage], journal), journal, shards)
    # What the two workers that were left had under way when the driver was killed is not finished.
    assert len(list(shards.glob("*.json"))) == ROWS - 2
    assert {row for row, _ in wait_for_lines(journal, 1)} == set(range(ROWS))
    assert len(wait_for_lines(journal, 1)) == ROWS + 2
    let_go(journal, 99)
    here = works[stage].load()
    held = hold_back(replace(works[stage], load=lambda: here), journal)
    found = np.concatenate(list(Local(ONE_BY_ONE, Storage(str(shards))).iterate_rows(held)))
    assert len(wait_for_lines(journal, 1)) == ROWS + 2 + 2
    assert found.tolist() == np.concatenate(list(here(0, ROWS))).tolist()


def test_images_in_place_and_shard_files_have_the_bytes_of_one_machine(
    nodes: Any, works: dict[str, Work], tmp_path: Path
) -> None:
    def decode_into(path: Path, cluster: Cluster) -> dict[str, bytes]:
        pixels = cluster.iterate_rows(works["preprocess"])
        names = [f"{number:02}.png" for number in range(ROWS)]
        store.write(
            path, tmp_path, names, ["red", "blue"] * (ROWS // 2), size=32, max_pixels=10**6, manifest_sha256="",
            pixels=pixels, max_file_bytes=10_000,
        )  # fmt: skip
        return {found.name: found.read_bytes() for found in path.with_suffix(".shards").iterdir()}

    five = SETTINGS.model_copy(update={"rows_per_shard": 5})
    here = decode_into(tmp_path / "here/images.h5", Local(five, Storage(str(tmp_path / "none"))))
    there = decode_into(tmp_path / "there/images.h5", RayCluster(five, Storage(str(tmp_path / "shards"))))
    # 12 images of 3 KB in files of 3, and the list of them.
    assert len(here) == 4 + 1
    assert there == here


@pytest.mark.parametrize(
    ("stage", "spoilt", "said"),
    [
        ("preprocess", "photos/07.png", "photos/07.png has changed since it was listed; data.in_place is set"),
        ("evaluate", "data/images.shards/00003.rows", "images.shards/00003.rows is damaged or of another run"),
    ],
)
def test_what_a_machine_reads_and_is_not_as_it_was_is_named(
    nodes: Any, works: dict[str, Work], tmp_path: Path, stage: str, spoilt: str, said: str, study: Path
) -> None:
    path = study / spoilt
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    # A worker may get a node that an earlier test took away and that Ray still counts; the next one does the work.
    cluster = RayCluster(SETTINGS.model_copy(update={"rows_per_shard": ROWS}), Storage(str(tmp_path)))
    try:
        with pytest.raises(UnfreezeError, match=said):
            list(cluster.iterate_rows(works[stage]))
    finally:
        path.write_bytes(whole)
