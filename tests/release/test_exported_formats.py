"""An exported format asks to become the champion: judged by its own artefact, registered and served as such."""

from pathlib import Path

import numpy as np
import pytest

from tests.release.conftest import Released
from unfreeze import files
from unfreeze.errors import UnfreezeError
from unfreeze.images import store
from unfreeze.release import exports, promotion, scoring
from unfreeze.serving.classifier import Classifier
from unfreeze.serving.export.program import Program
from unfreeze.tracking import packages

BACKBONE = "from_scratch"


@pytest.fixture(scope="module")
def exported(first: Released) -> Path:
    """Two formats of the study's best model."""
    # Ten held-back images: one of them is a tenth of the accuracy.
    lenient = first.params.export.model_copy(update={"max_drop": 0.2})
    params = first.params.model_copy(update={"export": lenient})
    for name in ("openvino-int8", "onnx"):
        exports.ensure_export(params, first.paths, BACKBONE, name)
    return first.paths.exported(BACKBONE)


def predict(released: Released, folder: Path) -> list[int]:
    """Return the classes that an exported folder gives the test images."""
    test = scoring.Test.read(released.paths)
    pixels = store.read_pixels(released.paths.images, test.rows)
    return [int(np.argmax(some)) for some, _ in Program(folder).run(image[None] for image in pixels)]


def test_8_bits_are_judged_registered_and_served_by_their_own_network(released: Released, exported: Path) -> None:
    result = released.promote(export="openvino-int8")
    assert f"{result.verdict}: openvino-int8 against the packed model of version 1: " in result.text
    assert (result.challenger.format, result.champion.format) == ("openvino-int8", None)
    folder = exported / "openvino-int8"
    sizes = [(folder / name).stat().st_size for name in ("model.xml", "model.bin")]
    assert result.challenger.size_mb == pytest.approx(sum(sizes) / 1e6)
    test = scoring.Test.read(released.paths)
    assert result.challenger.accuracy == (np.array(predict(released, folder)) == test.labels).mean()
    assert result.verdict == "promote"
    (version,) = [one for one in released.registry.list_versions() if one.number == released.champion]
    assert version.tags["format"] == "openvino-int8"
    assert version.tags["verdict_text"] == result.text
    served = packages.fetch(released.paths, "models:/unfreeze@champion").folder
    assert (served / "model.bin").read_bytes() == (folder / "model.bin").read_bytes()
    Classifier(served, batch_size=1).try_example()
    # The packed model stays a version and a question of its own.
    plain = promotion.judge(released.params, released.paths)
    assert plain.challenger.version != version.number
    assert f"{plain.verdict}: the packed model against openvino-int8 of version {version.number}: " in plain.text


def test_a_format_that_no_package_holds_is_judged_by_its_own_runtime(released: Released, exported: Path) -> None:
    forced = released.promote(export="onnx", force="another runtime")
    assert (forced.challenger.format, forced.promoted) == ("onnx", True)
    assert forced.challenger.size_mb == (exported / "onnx/model.onnx").stat().st_size / 1e6
    again = released.promote(export="openvino-int8")
    assert f"openvino-int8 against onnx of version {forced.challenger.version}: " in again.text
    assert again.champion.accuracy == forced.challenger.accuracy
    described = {one["version"]: one["format"] for one in promotion.list_versions(released.params, released.paths)}
    assert described[forced.challenger.version] == "onnx"


def test_the_same_format_is_not_scored_twice(released: Released, exported: Path, monkeypatch) -> None:
    result = promotion.judge(released.params, released.paths, export="onnx")
    monkeypatch.setattr("unfreeze.release.scoring.score_models", None)
    assert promotion.judge(released.params, released.paths, export="onnx") == result


def test_an_export_that_is_missing_or_was_changed_is_not_judged(released: Released, exported: Path) -> None:
    with pytest.raises(UnfreezeError, match="no export in models/exported/from_scratch/litert: run `unfreeze export"):
        released.promote(export="litert")
    with pytest.raises(UnfreezeError, match="one model is judged at a time"):
        released.promote(export="onnx,openvino")
    path = exported / "onnx/reference.npy"
    before = path.read_bytes()
    path.write_bytes(before + b"\0")
    try:
        with pytest.raises(UnfreezeError, match=r"not what was exported \(reference.npy differ .*--format onnx`"):
            released.promote(export="onnx")
    finally:
        path.write_bytes(before)
    described = files.read_json(exported / "onnx/model.json")
    files.write_json(exported / "onnx/model.json", {**described, "model_sha256": "0" * 64})
    try:
        with pytest.raises(UnfreezeError, match="exported from another model than models/from_scratch.keras"):
            released.promote(export="onnx")
    finally:
        files.write_json(exported / "onnx/model.json", described)


def test_what_was_exported_already_is_not_exported_again(released: Released, exported: Path) -> None:
    before = (exported / "onnx/model.onnx").stat().st_mtime_ns
    exports.ensure_export(released.params, released.paths, BACKBONE, "onnx")
    assert (exported / "onnx/model.onnx").stat().st_mtime_ns == before
    # Nothing that the report shows has changed, so the lock still matches.
    assert not released.paths.exports(BACKBONE).exists()
