"""A package with an exported network answers as the exported folder does."""

from pathlib import Path

import numpy as np
import pytest

from tests.serving.export.conftest import make_source
from tests.serving.golden import write_golden
from tests.serving.packed import pack_small
from unfreeze import files
from unfreeze.records.exported_model import ExportedModel
from unfreeze.serving.classifier import Classifier, read_model
from unfreeze.serving.export import write
from unfreeze.serving.export.program import Program
from unfreeze.serving.export.registry import find_formats
from unfreeze.serving.export.repack import can_repack, repack

pytestmark = pytest.mark.slow


def test_openvinos_formats_alone_are_networks_of_packages() -> None:
    entries = find_formats("openvino,openvino-int8,onnx,litert,saved_model")
    assert [entry.name for entry in entries if can_repack(entry)] == ["openvino", "openvino-int8"]


@pytest.mark.parametrize("name", ["openvino", "openvino-int8"])
def test_a_repacked_format_gives_the_answers_of_its_folder(exported, packed: Path, tmp_path: Path, name: str) -> None:
    (entry,) = find_formats(name)
    source, folder = make_source(packed), exported[0] / name
    said = repack(packed, folder, entry, tmp_path / "packed", images=source.images, folds=source.folds)
    assert said == read_model(tmp_path / "packed")
    assert (said.unsure, said.unlike) == (
        ExportedModel.read(folder / "model.json").unsure,
        ExportedModel.read(folder / "model.json").unlike,
    )
    classifier, program = Classifier(tmp_path / "packed", batch_size=1), Program(folder)
    classifier.try_example()
    pixels = np.stack([classifier.load(path) for path in write_golden(tmp_path / "golden")])
    found = list(classifier.classify(image[None] for image in pixels))
    expected = [program.module.answer(image) for image in pixels]
    np.testing.assert_allclose(
        np.concatenate([answers.probabilities for answers in found]),
        [list(probabilities.values()) for probabilities, _ in expected],
        atol=1e-5,
    )
    assert [answers.reasons[0] for answers in found] == [reason for _, reason in expected]


def test_a_repacked_format_has_conformal_sets_of_its_own(tmp_path: Path) -> None:
    packed = pack_small(tmp_path, calibration=True)
    source, (entry,) = make_source(packed), find_formats("openvino-int8")
    write.export(source, [entry], tmp_path / "out")
    target = tmp_path / "repacked"
    repack(packed, tmp_path / "out" / entry.name, entry, target, images=source.images, folds=source.folds)
    before, after = (Classifier(folder).reference for folder in (packed, target))
    assert len(after.scores) == len(before.scores) == 6
    assert not np.array_equal(after.scores, before.scores)
    assert after.ids == before.ids
    assert files.hash_file(target / "model.bin") == files.hash_file(tmp_path / "out/openvino-int8/model.bin")
