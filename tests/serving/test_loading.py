"""Images are decoded ahead of the network, in order, and only a few of them."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.serving.packed import draw_image
from unfreeze.serving import loading
from unfreeze.serving.classifier import Classifier
from unfreeze.serving.inputs import Input

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def classifier(packed: Path) -> Classifier:
    return Classifier(packed)


def repeat(paths: list[Path], count: int, taken: list[int]) -> Iterator[tuple[int, Input]]:
    for number in range(count):
        taken.append(number)
        yield number, Input(f"{number}", paths[number % len(paths)])


def test_answers_keep_the_order_of_images_of_which_some_cannot_be_read(
    classifier: Classifier, tmp_path: Path
) -> None:
    paths = [tmp_path / f"{number}.png" for number in range(5)]
    for number, path in enumerate(paths[:4]):
        draw_image("red", number).save(path)
    paths[2].write_bytes(b"")
    expected = {
        path: next(classifier.classify([classifier.load(path)[None]])).probabilities[0]
        for path in (paths[0], paths[1], paths[3])
    }
    found = [each for some in loading.predict(classifier, repeat(paths, 103, [])) for each in some]
    assert [each.loaded.number for each in found] == list(range(103))
    for each in found:
        if each.probabilities is None:
            assert each.reason in {"the file is empty", "No such file or directory"}
        else:
            np.testing.assert_allclose(each.probabilities, expected[each.loaded.input.path], atol=1e-6)
    assert sum(each.probabilities is None for each in found) == 41


@pytest.mark.parametrize("readable", [True, False])
def test_few_images_are_taken_ahead_of_the_rows(classifier: Classifier, tmp_path: Path, readable: bool) -> None:
    path = tmp_path / "1.png"
    if readable:
        draw_image("red", 1).save(path)
    taken: list[int] = []
    batches = loading.predict(classifier, repeat([path], 1_000_000, taken))
    most = 0
    for _ in range(8):
        before = next(batches)[-1].loaded.number
        most = max(most, len(taken) - before)
    batches.close()  # type: ignore[attr-defined]
    assert most < (100 if readable else 5 * loading.MOST_UNREAD + 100)
