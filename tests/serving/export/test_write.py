"""An export is whole and proved, or not there."""

import dataclasses
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image

from tests.serving.export.conftest import FORMATS, make_source
from unfreeze import files
from unfreeze.errors import UnfreezeError
from unfreeze.records.exported_model import ExportedModel
from unfreeze.serving.classifier import read_model
from unfreeze.serving.export import write
from unfreeze.serving.export.registry import Format, find_formats

pytestmark = pytest.mark.slow


def refuse(packed: Path, out: Path, entry: Format, *, max_drop: float = 0.0) -> str:
    """Return why an export ends; it leaves nothing."""
    with pytest.raises(UnfreezeError) as caught:
        write.export(make_source(packed, max_drop=max_drop), [entry], out)
    assert "\n" not in str(caught.value)
    assert list(out.iterdir()) == []
    return str(caught.value)


@pytest.mark.parametrize("name", FORMATS)
def test_a_folder_says_what_it_holds_and_what_was_compared(exported, packed: Path, name: str) -> None:
    out, table = exported
    model, package = ExportedModel.read(out / name / "model.json"), read_model(packed)
    assert (model.classes, model.size, model.model_sha256) == (package.classes, 32, package.model_sha256)
    digests = {path: files.hash_file(out / name / path) for path in model.artefact_sha256}
    assert digests == model.artefact_sha256
    assert {"predict.py", "reference.npy"} < set(digests)
    assert model.parity is not None
    assert (model.parity.tensors.images, model.parity.scores.images, model.parity.files.files) == (15, 15, 15)
    assert {"numpy", "pillow"} < set(model.parity.files.packages)
    assert "unfreeze" not in model.parity.files.packages
    row = next(row for row in table.formats if row.format == name)
    assert row.difference == model.parity.tensors.difference
    assert min(row.megabytes, row.latency_ms, row.images_per_second) > 0
    if name != "openvino-int8":
        assert row.difference < 2e-5
        assert model.unsure == package.unsure


def test_8_bits_take_a_part_of_the_space_and_have_thresholds_of_their_own(exported, packed: Path) -> None:
    out, table = exported
    size = {row.format: row.megabytes for row in table.formats}
    assert (out / "openvino-int8/model.bin").stat().st_size < 0.5 * (out / "openvino/model.bin").stat().st_size
    assert size["openvino"] == pytest.approx(
        sum((out / "openvino" / name).stat().st_size for name in ("model.xml", "model.bin")) / 1e6
    )
    fitted = ExportedModel.read(out / "openvino-int8/model.json")
    assert fitted.unlike.cosine != read_model(packed).unlike.cosine


def test_weights_stay_float32(exported, packed: Path) -> None:
    written = exported[0] / "openvino/model.bin"
    assert written.read_bytes() == (packed / "model.bin").read_bytes()


def test_8_bits_are_the_same_in_each_run(exported, packed: Path, tmp_path: Path) -> None:
    write.export(make_source(packed), find_formats("openvino-int8"), tmp_path)
    for name in ("model.bin", "model.xml", "reference.npy"):
        before = exported[0] / "openvino-int8" / name
        assert (tmp_path / "openvino-int8" / name).read_bytes() == before.read_bytes(), name


def test_the_test_fold_is_not_looked_at(exported, packed: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(packed.parents[1], tmp_path / "copy"))
    source = make_source(folder / "packed" / packed.name)
    unseen = set(source.folds.loc[source.folds["fold"] == "test", "id"])
    assert len(unseen) == 3
    for name in unseen:
        (source.raw / name).unlink()
    with h5py.File(source.images, "r+") as images:
        for row, name in enumerate(images["ids"].asstr()):
            if name in unseen:
                images["images"][row], images["labels"][row] = 0, 2 - images["labels"][row]
    (row,) = write.export(source, find_formats("openvino"), tmp_path / "out").formats
    before = next(row for row in exported[1].formats if row.format == "openvino")
    assert (row.accuracy, row.difference) == (before.accuracy, before.difference)


def test_broken_weights_are_caught_by_the_tensors(packed: Path, tmp_path: Path) -> None:
    (entry,) = find_formats("openvino")

    def spoil(material, folder: Path) -> None:
        entry.write(material, folder)
        weights = np.fromfile(folder / "model.bin", np.float32)
        (weights * np.float32(1.01)).tofile(folder / "model.bin")

    message = refuse(packed, tmp_path, dataclasses.replace(entry, write=spoil))
    assert "from_scratch as openvino: on 15 validation images its probabilities are up to" in message


def test_an_artefact_that_cannot_be_loaded_is_caught(packed: Path, tmp_path: Path) -> None:
    (entry,) = find_formats("onnx")
    broken = dataclasses.replace(entry, write=lambda _, folder: (folder / "model.onnx").write_bytes(b"\x08"))
    assert "from_scratch as onnx: its runtime cannot load or run it" in refuse(packed, tmp_path, broken)


def test_an_artefact_that_cannot_be_run_is_caught(packed: Path, tmp_path: Path) -> None:
    (entry,) = find_formats("onnx")
    failing = dataclasses.replace(entry, run="NETWORK.run(['no such output'], {})")
    assert "from_scratch as onnx: its runtime cannot load or run it (" in refuse(packed, tmp_path, failing)


def test_a_loss_of_accuracy_past_the_limit_is_caught_by_the_scores(packed: Path, tmp_path: Path) -> None:
    copied = Path(shutil.copytree(packed.parents[1], tmp_path / "copy")) / "packed" / packed.name
    source = make_source(copied, max_drop=0.9)
    _label_as_predicted(source)
    (entry,) = find_formats("openvino-int8")
    other = "{name: np.roll(NETWORK(pixels)[name], 1, axis=1) for name in ('probabilities', 'features')}"
    rolled = dataclasses.replace(entry, run=other)
    message = refuse(copied, tmp_path / "out", rolled, max_drop=0.9)
    assert "0.00% of 15 validation images are right instead of 100.00% (McNemar: p = 6.1e-05)" in message
    assert "export.max_drop is 0.9" in message


def _label_as_predicted(source) -> None:
    """Make the packed model right on each image."""
    from unfreeze.images import store
    from unfreeze.serving.classifier import Classifier

    with h5py.File(source.images) as images:
        count = len(images["labels"])
    batches = store.read_batches(source.images, range(count), 8)
    said = [some.probabilities.argmax(axis=1) for some in Classifier(source.package).classify(batches)]
    with h5py.File(source.images, "r+") as images:
        images["labels"][...] = np.concatenate(said)


def test_another_resize_is_caught_by_the_files(packed: Path, tmp_path: Path, monkeypatch) -> None:
    (entry,) = find_formats("openvino")
    # Loading predict.py here changes Pillow for all: what is set now comes back after the test.
    monkeypatch.setattr(Image.Image, "resize", Image.Image.resize)
    nearest = """
kept = Image.Image.resize
Image.Image.resize = lambda image, size, *_, **__: kept(image, size, Image.Resampling.NEAREST)"""
    message = refuse(packed, tmp_path, dataclasses.replace(entry, setup=entry.setup + nearest))
    assert "predict.py answers 15 image files up to" in message


def test_a_program_that_fails_alone_is_caught(packed: Path, tmp_path: Path) -> None:
    (entry,) = find_formats("openvino")
    needy = dataclasses.replace(entry, imports="import openvino, cv2")
    assert "predict.py fails in an environment of its own (ModuleNotFoundError: No module named 'cv2')" in refuse(
        packed, tmp_path, needy
    )


def test_a_folder_that_is_no_export_is_left_alone(packed: Path, tmp_path: Path) -> None:
    (tmp_path / "onnx").mkdir()
    (tmp_path / "onnx/mine.txt").touch()
    with pytest.raises(UnfreezeError, match="onnx is there already and is no export"):
        write.export(make_source(packed), find_formats("onnx"), tmp_path)
    assert (tmp_path / "onnx/mine.txt").exists()
    # Models of other programs have such a file, too.
    (tmp_path / "onnx/model.json").write_text("{}")
    with pytest.raises(UnfreezeError, match="onnx is there already and is no export"):
        write.export(make_source(packed), find_formats("onnx"), tmp_path)


def test_another_backbones_export_is_left_alone(exported, packed: Path, tmp_path: Path) -> None:
    out, _ = exported
    shutil.copytree(out / "onnx", tmp_path / "onnx")
    described = files.read_json(tmp_path / "onnx/model.json")
    files.write_json(tmp_path / "onnx/model.json", {**described, "backbone": "vgg16"})
    with pytest.raises(UnfreezeError, match="onnx is there already and is an export of vgg16 as onnx: move it"):
        write.export(make_source(packed), find_formats("onnx"), tmp_path)
    assert files.read_json(tmp_path / "onnx/model.json")["backbone"] == "vgg16"


def test_files_that_do_not_belong_together_are_refused(packed: Path, tmp_path: Path) -> None:
    source = make_source(packed)
    other = tmp_path / "other.keras"
    other.write_bytes(source.model.read_bytes() + b"\0")
    for changed, message in (
        ({"model": other}, "was packed from another file than .*other.keras: run `dvc repro`"),
        ({"model": tmp_path / "none.keras"}, "none.keras is missing"),
        ({"raw": tmp_path}, "image files of the validation fold cannot be read .*dvc pull"),
    ):
        with pytest.raises(UnfreezeError, match=message):
            write.export(dataclasses.replace(source, **changed), find_formats("openvino"), tmp_path / "out")
        assert not list((tmp_path / "out").glob("*"))
