import json
from pathlib import Path

import pytest

from tests.images.stored import store_features
from unfreeze import files
from unfreeze.paths import Paths
from unfreeze.stages import learning_curve

SETTINGS = learning_curve.Settings(seed=0)


def test_the_curve_is_written(tmp_path: Path) -> None:
    paths = Paths(tmp_path)
    store_features(paths)
    learning_curve.run(SETTINGS, paths, "b")
    first = paths.learning_curve("b").read_bytes()
    curve = json.loads(first)
    assert set(curve) == {"points", "classes", "gain_from_doubling", "neediest_class", "text"}
    assert set(curve["classes"]) == {"cat", "dog"}
    assert curve["points"][-1]["images"] == 40
    assert curve["points"][-1]["accuracy"] > 0.8
    learning_curve.run(SETTINGS, paths, "b")
    assert paths.learning_curve("b").read_bytes() == first


@pytest.mark.parametrize(
    ("made", "why"),
    [
        ({"stored": False}, "b has no learning curve: no features are stored"),
        ({"position": 0}, "b has no learning curve: no features are stored"),
        ({"images": 60}, "b has no learning curve: a class has fewer than 20 different training images"),
    ],
)
def test_where_there_is_no_curve_null_is_written_and_said_why(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, made: dict[str, int], why: str
) -> None:
    paths = Paths(tmp_path)
    store_features(paths, **made)
    with caplog.at_level("INFO", "unfreeze"):
        learning_curve.run(SETTINGS, paths, "b")
    assert files.read_json(paths.learning_curve("b")) is None
    assert why in caplog.text
