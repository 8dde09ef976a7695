"""The stages that can be divided, on a cluster that loses a worker or a node, and then the driver."""

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
from tests.cluster.slow_work import slow_down
from tests.cluster.test_ray_cluster import SETTINGS, wait_for_end, wait_for_lines
from tests.conftest import PROJECT
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


def lose(nodes: Any, victim: str, work: Work, journal: Path, shards: Path) -> None:
    """Kill a worker or remove its node, and then kill the driver."""
    from ray import cloudpickle

    # As Ray sends it.
    (journal.parent / "work").write_bytes(cloudpickle.dumps((ONE_BY_ONE, work)))
    command = [warm.find_programs() / "python", "-c", DRIVER, str(journal.parent / "work"), str(shards)]
    with subprocess.Popen(command, cwd=PROJECT, stderr=subprocess.DEVNULL) as driver:
        begun = wait_for_lines(journal, 3)
        if victim == "worker":
            os.kill(begun[-1][1], signal.SIGKILL)
        else:
            nodes.remove_node(next(iter(nodes.worker_nodes)), allow_graceful=False)
        wait_for_lines(journal, 7)
        driver.kill()
    wait_for_end(journal)
    if victim == "node":
        nodes.wait_for_nodes()
        nodes.add_node(num_cpus=1)


# Where a worker takes seconds to start, a node is removed, in whose place there is none.
LOST = {"check": "worker", "preprocess": "worker", "predict": "worker", "extract": "node", "evaluate": "node"}


@pytest.mark.parametrize("stage", LOST)
def test_what_a_stage_loses_is_computed_again_and_nothing_else(
    nodes: Any, works: dict[str, Work], stage: str, tmp_path: Path
) -> None:
    journal, shards = tmp_path / "journal", tmp_path / "shards"
    work = slow_down(works[stage], journal, 0.4)
    lose(nodes, LOST[stage], work, journal, shards)
    finished = len(list(shards.glob("*.json")))
    begun = len(wait_for_lines(journal, 1))
    assert 0 < finished < ROWS
    # What was lost, and what the two workers had under way when the driver was killed.
    assert begun <= finished + 1 + 2
    here = works[stage].load()
    quick = slow_down(replace(works[stage], load=lambda: here), journal, 0)
    found = np.concatenate(list(Local(ONE_BY_ONE, Storage(str(shards))).iterate_rows(quick)))
    assert len(wait_for_lines(journal, 1)) == begun + ROWS - finished
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
