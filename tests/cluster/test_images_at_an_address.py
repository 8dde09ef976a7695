"""Images that stay in a store of objects, read by workers of a cluster."""

import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.cluster.object_store import Objects, serve_objects, use_objects
from tests.cluster.test_ray_cluster import SETTINGS
from tests.conftest import compose
from unfreeze import files
from unfreeze.cluster.local import Local
from unfreeze.cluster.ray_cluster import RayCluster
from unfreeze.cluster.shards import Compute, Work
from unfreeze.cluster.storage import Storage
from unfreeze.errors import UnfreezeError
from unfreeze.paths import Paths
from unfreeze.settings.stage_settings import select
from unfreeze.stages import check, preprocess

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("ray")]


@pytest.fixture
def objects() -> Iterator[Objects]:
    """Return an empty server that this process may use."""
    with serve_objects() as server, use_objects(server):
        yield server


def load_there(environment: dict[str, str], load: Callable[[], Compute]) -> Compute:
    """Return what computes rows, with the credentials of the node that it runs on."""
    os.environ.update(environment)
    return load()


def list_works(folder: Path, photos: Path, root: str, objects: Objects) -> dict[str, Work]:
    """Return the works of both stages that read images, of a checkout whose images are in `root`."""
    paths = Paths(folder)
    index = pd.DataFrame({"path": [path.relative_to(photos).as_posix() for path in sorted(photos.rglob("*.png"))]})
    index["bytes"] = [(photos / name).stat().st_size for name in index["path"]]
    index["sha256"] = [files.hash_file(photos / name) for name in index["path"]]
    index = index.assign(label=[name.partition("/")[0] for name in index["path"]], verdict="ok")
    for stage in ("check", "preprocess"):
        files.write_text(paths.code / f"{stage}.txt", "the code")
    files.write_csv(paths.raw_index, index)
    files.write_parquet(paths.manifest, index)
    files.write_json(paths.in_place, {"root": root})
    params = compose(paths.params, "preprocess.image_size=32")
    works = {
        "check": check.list_works(select(params, check.Settings), paths)[0],
        "preprocess": preprocess.list_works(select(params, preprocess.Settings), paths)[0],
    }
    return {
        name: replace(work, load=partial(load_there, objects.environment, work.load), loaded=None)
        for name, work in works.items()
    }


def test_workers_read_the_images_of_a_store_and_name_one_that_changed(
    nodes: Any, objects: Objects, tmp_path: Path, make_images: Callable[..., Path]
) -> None:
    photos = make_images(tmp_path / "photos", images=10)
    for path in photos.rglob("*.png"):
        objects.content[f"/bucket/photos/{path.relative_to(photos).as_posix()}"] = path.read_bytes()
    here = list_works(tmp_path / "here", photos, str(photos), objects)
    there = list_works(tmp_path / "there", photos, "s3://bucket/photos", objects)
    cluster = RayCluster(SETTINGS, Storage(str(tmp_path / "shards")))
    for stage in here:
        found = np.concatenate(list(cluster.iterate_rows(there[stage])))
        expected = np.concatenate(list(Local(SETTINGS, Storage(str(tmp_path / "none"))).iterate_rows(here[stage])))
        assert found.tolist() == expected.tolist(), stage
    assert len(list((tmp_path / "shards").glob("*.json"))) == 6
    objects.content["/bucket/photos/red/003.png"] += b"x"
    with pytest.raises(
        UnfreezeError, match="s3://bucket/photos/red/003.png has changed since it was listed; data.in"
    ):
        list(RayCluster(SETTINGS, Storage(str(tmp_path / "other"))).iterate_rows(there["preprocess"]))
