"""Extraction in 8 bits: near float32, the same bytes in every process, and no part of scores and packages."""

import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from tests.cluster.divided_stages import BACKBONE, ROWS, prepare
from tests.conftest import PROJECT
from tests.models.test_engine import Unconvertible
from tests.serving.packed import EXTRACT, pack_small
from unfreeze import files
from unfreeze.cluster.local import Local
from unfreeze.cluster.shards import Work
from unfreeze.cluster.storage import Storage
from unfreeze.errors import UnfreezeError
from unfreeze.features import cache
from unfreeze.images import store
from unfreeze.models.engine import make_pixel_engine
from unfreeze.models.scorer import Scorer
from unfreeze.paths import Paths
from unfreeze.settings.params import Params
from unfreeze.settings.stage_settings import select
from unfreeze.stages import extract, validate
from unfreeze.training.activations import Activations

INT8 = EXTRACT.model_copy(update={"precision": "int8"})


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> tuple[Paths, Params]:
    """Write a small study, in whose settings the frozen layers run in 8 bits."""
    paths, params = prepare(tmp_path_factory.mktemp("study"))
    paths.params.write_text(paths.params.read_text().replace("auto\n  precision: float32", "auto\n  precision: int8"))
    return paths, params.model_copy(update={"extract": INT8})


@pytest.fixture(scope="module")
def work(study: tuple[Paths, Params]) -> Work:
    """Return the extraction."""
    return describe(*study)


def describe(paths: Paths, params: Params) -> Work:
    (found,) = extract.list_works(select(params, extract.Settings), paths, BACKBONE)
    return found


def compute(work: Work, *bounds: int) -> np.ndarray:
    """Return the rows between the first bound and the last, computed from each bound to the next one."""
    rows = work.load_here()
    return np.concatenate(
        [part for start, stop in zip(bounds, bounds[1:], strict=False) for part in rows(start, stop)]
    )


def test_activations_are_near_those_of_float32(study: tuple[Paths, Params], work: Work) -> None:
    paths, params = study
    exact = compute(describe(paths, params.model_copy(update={"extract": EXTRACT})), 0, ROWS)
    rough = compute(work, 0, ROWS)
    assert rough.dtype == exact.dtype == np.float16
    difference = np.abs(rough.astype("float32") - exact).mean() / np.abs(exact.astype("float32")).mean()
    assert 0 < difference < 0.1


# Other shards in another process, as on another machine.
ELSEWHERE = """
import sys
from pathlib import Path
import numpy as np
from tests.stages.test_int8 import compute, describe
from unfreeze.paths import Paths
from unfreeze.settings.params import load
paths = Paths(Path(sys.argv[1]))
np.save(paths.root / "elsewhere.npy", compute(describe(paths, load(paths.params)), 0, 3, 8, 12))
"""


def test_shards_of_any_size_have_the_same_bytes_in_another_process(study: tuple[Paths, Params], work: Work) -> None:
    root = study[0].root
    subprocess.run([sys.executable, "-c", ELSEWHERE, str(root)], check=True, cwd=PROJECT)
    assert np.load(root / "elsewhere.npy").tobytes() == compute(work, 0, 8, 12).tobytes()


def test_a_machine_with_other_ranges_is_refused(study: tuple[Paths, Params]) -> None:
    paths, params = study
    settings = select(params, extract.Settings)
    plan = extract.prepare(settings, paths, extract.build_network(settings, paths, BACKBONE)).plan
    expected = {**plan.determined_by, "quantized": "f" * 64}
    with pytest.raises(UnfreezeError, match="would compute other rows, for quantized differ"):
        extract.load_compute(settings, paths, BACKBONE, plan.position, expected)


def test_rows_that_are_not_stored_are_computed_in_every_epoch_with_the_same_bits(
    study: tuple[Paths, Params], work: Work, tmp_path: Path
) -> None:
    paths, params = study
    small = params.model_copy(update={"extract": INT8.model_copy(update={"max_gb": 1e-6})})
    settings = select(small, extract.Settings)
    network = extract.build_network(settings, paths, BACKBONE)
    extract.store_activations(settings, paths, network, Local(params.cluster, Storage(str(tmp_path))))
    features = cache.read(paths.features(BACKBONE), {})
    assert not features.plan.stored
    rows = Activations(network, features, images=paths.images, folder=tmp_path, max_gb=1e-6).cached
    epoch = [part for fold in (rows.train, rows.val) for part in fold.iterate_batches(8)]
    assert np.array_equal(np.concatenate(epoch).astype("float16"), compute(work, 0, ROWS))


def test_scores_and_packages_are_those_of_the_saved_model(study: tuple[Paths, Params], tmp_path: Path) -> None:
    paths, _ = study
    rows = np.arange(ROWS)
    model = paths.model(BACKBONE)
    exact, found = (Scorer(model, paths.images, settings).predict(rows, "test") for settings in (EXTRACT, INT8))
    assert np.array_equal(exact, found)
    package = pack_small(tmp_path, extract=INT8)
    assert files.read_json(package / "model.json")["precision"] == "float32"


def test_without_the_package_that_rounds_the_study_ends_before_any_image_is_read(
    study: tuple[Paths, Params], monkeypatch: pytest.MonkeyPatch
) -> None:
    paths, params = study
    monkeypatch.setitem(sys.modules, "nncf", None)
    with pytest.raises(UnfreezeError, match=r"needs nncf, which is not installed: .*\[export\]"):
        validate.run(params, paths)
    assert not paths.params_valid.exists()
    with pytest.raises(UnfreezeError, match="needs nncf"):
        describe(paths, params)


def test_a_network_that_openvino_cannot_convert_is_refused(study: tuple[Paths, Params]) -> None:
    images = study[0].images
    inputs = keras.Input((32, 32, 3), dtype="uint8")
    x = keras.layers.Conv2D(2, 3)(Unconvertible()(keras.layers.Rescaling(1 / 255)(inputs)))
    network = keras.Model(inputs, x, name="strange")
    train = np.arange(len(store.describe(images).ids))
    with pytest.raises(UnfreezeError, match=r"cannot convert or quantize strange .*set extract\.precision=float32"):
        make_pixel_engine(network, INT8, images, train)
