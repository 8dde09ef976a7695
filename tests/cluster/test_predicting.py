"""`unfreeze predict` on a cluster."""

import io
import os
import shutil
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.cluster.test_ray_cluster import SETTINGS
from tests.conftest import PROJECT, compose
from tests.serving.packed import draw_image, pack_small
from unfreeze.cli.main import main
from unfreeze.cluster.local import Local
from unfreeze.cluster.ray_cluster import RayCluster
from unfreeze.cluster.shards import Compute, Work
from unfreeze.cluster.storage import Storage
from unfreeze.errors import UnfreezeError
from unfreeze.serving import divided, loading, run
from unfreeze.serving.classifier import Classifier
from unfreeze.serving.inputs import Input
from unfreeze.serving.locate import Located

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("ray")]


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pack_small(tmp_path_factory.mktemp("packed"))


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder with settings that name a cluster, 12 images and one that is damaged."""
    compose(tmp_path / "params.yaml", "cluster.engine=ray")
    (tmp_path / "photos").mkdir()
    for number in range(12):
        draw_image(("red", "green")[number % 2], number).save(tmp_path / f"photos/{number:02}.png")
    whole = (tmp_path / "photos/07.png").read_bytes()
    (tmp_path / "photos/07b.png").write_bytes(whole[: len(whole) // 2])
    monkeypatch.chdir(tmp_path)
    return tmp_path


def predict(packed: Path, *arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["predict", *arguments, "--model", str(packed)])
    return int(ended.value.code or 0)


@pytest.mark.parametrize(("count", "size"), [(1, 5), (2, 5), (2, 4096), (3, 5)])
def test_files_get_the_bytes_of_one_machine(
    nodes: Any, packed: Path, checkout: Path, monkeypatch: pytest.MonkeyPatch, count: int, size: int
) -> None:
    nodes.resize(count)

    def predict_into(out: str) -> bytes:
        # A file that is missing has a row as well.
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"photos/03.png\nmissing.png\n")))
        assert predict(packed, "photos", "-", "--out", out) == 3
        return Path(out).read_bytes()

    compose(checkout / "params.yaml", "cluster.engine=ray", f"cluster.rows_per_shard={size}")
    of_cluster = predict_into("cluster.csv")
    # 14 files, and the list of them.
    assert len(list((checkout / ".dvc/tmp/unfreeze/shards").glob("*.json"))) == -(-14 // size) + 1
    compose(checkout / "params.yaml")
    assert len(of_cluster.splitlines()) == 1 + 15
    assert of_cluster == predict_into("local.csv")


def make_local(storage: Storage) -> Local:
    return Local(SETTINGS.model_copy(update={"rows_per_shard": 5}), storage)


def test_a_run_that_goes_on_asks_only_for_what_is_left(packed: Path, checkout: Path) -> None:
    inputs = [
        *run.open_inputs(["photos"], checkout, io.BytesIO()),
        Input("missing.png", Path("missing.png"), problem="there is none"),
    ]
    storage = Storage(str(checkout / "shards"))
    shared = divided.DividedInputs(Classifier(packed), make_local(storage), storage, inputs)
    whole = [prediction for some in shared.predict(enumerate(inputs)) for prediction in some]
    left = [prediction for some in shared.predict(islice(enumerate(inputs), 9, None)) for prediction in some]
    assert [prediction.loaded.input for prediction in whole] == inputs
    assert whole[-1].reason == "there is none"
    assert [prediction.loaded for prediction in left] == [prediction.loaded for prediction in whole[9:]]
    for one, other in zip(left[:-1], whole[9:], strict=False):
        assert np.array_equal(one.probabilities, other.probabilities)


# What a broken codec does, in the processes that decode.
BROKEN = """
import os, time
from unfreeze.images import decoding
load = decoding.load_rgb
faults = {"03.png": os.abort, "06.png": lambda: time.sleep(600)}
decoding.load_rgb = lambda path, *rest, **more: faults.get(path.name, int)() or load(path, *rest, **more)
"""


class PlantedFault(RayCluster):
    """A cluster whose workers have a broken codec."""

    def iterate_rows(self, work: Work, done: int = 0) -> Any:
        return super().iterate_rows(replace(work, load=partial(load_broken, str(Path.cwd()), work.load)), done)


def load_broken(folder: str, load: Any) -> Compute:
    os.environ["PYTHONPATH"] = f"{folder}{os.pathsep}{PROJECT / 'src'}"
    # A minute in earnest.
    loading.SECONDS = 4.0
    compute: Compute = load()
    return compute


def test_an_image_that_crashes_or_hangs_its_codec_is_one_row(nodes: Any, packed: Path, checkout: Path) -> None:
    (checkout / "sitecustomize.py").write_text(BROKEN)
    storage = Storage(str(checkout / "shards"))
    rows: list[Any] = []
    run.predict(
        Located(packed, "x"), run.Options(["photos"]), further=[], show=lambda _, row: rows.append(row),
        machines=(PlantedFault(SETTINGS, storage), storage),
    )  # fmt: skip
    assert len(rows) == 13
    crashed, hung, _ = [row for row in rows if row.failed]
    assert (crashed.source, crashed.reason) == ("photos/03.png", "it ends its process by SIGABRT")
    assert (hung.source, hung.reason) == ("photos/06.png", "it takes longer than 4 s")


def test_a_file_that_another_machine_does_not_see_is_named(packed: Path, checkout: Path) -> None:
    inputs, storage = run.open_inputs(["photos"], checkout, io.BytesIO()), Storage(str(checkout / "shards"))
    found = divided.DividedInputs(Classifier(packed), make_local(storage), storage, list(inputs))
    shutil.move("photos/01.png", "photos/x.png")
    with pytest.raises(UnfreezeError, match=r"sees no .*photos/01.png, or another one than was listed: put images"):
        list(found.predict(enumerate(found.inputs)))


def test_an_archive_stays_on_this_machine(packed: Path, checkout: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.make_archive("photos", "zip", "photos")
    assert predict(packed, "photos.zip", "--out", "rows.csv") == 3
    said = "this machine predicts all images, and not the cluster: photos.zip is an archive or an address"
    assert said in capsys.readouterr().err
