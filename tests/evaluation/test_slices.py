import numpy as np
import pandas as pd

from unfreeze.evaluation import slices


def predictions(correct: np.ndarray) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "id": [f"images/{number}.png" for number in range(len(correct))],
            "label": np.where(np.arange(len(correct)) % 2, "cat", "dog"),
            "correct": correct,
        }
    )


def manifest(images: int, **columns: object) -> pd.DataFrame:
    """Return rows of images that are all alike, but for the columns given."""
    table = pd.DataFrame(
        {
            "path": [f"images/{number}.png" for number in range(images)],
            "label": np.where(np.arange(images) % 2, "cat", "dog"),
            "sha256": [f"{number:064}" for number in range(images)],
            "width": 300.0, "height": 300.0, "mode": "L", "format": "PNG", "brightness": 100.0, "sharpness": 50.0,
            "entropy": 7.0, "cluster": range(images), "copies": range(images), "verdict": "ok",
        }
    )  # fmt: skip
    return table.assign(**columns)


def test_a_slice_on_which_a_model_fails_stands_out_and_comes_first() -> None:
    brightness = np.arange(300.0)
    # Half of the darkest third is wrong, a tenth of the rest.
    correct = np.where(brightness < 100, np.arange(300) % 2 == 0, np.arange(300) % 10 != 0)
    found = slices.score_slices(predictions(correct), manifest(300, brightness=brightness), seed=0)
    assert [(part.column, part.slice, part.images, part.stands_out) for part in found] == [
        ("brightness", "darkest third (under 99.7)", 100, True),
        ("brightness", "middle third (99.7 to 199)", 100, True),
        ("brightness", "brightest third (from 199)", 100, True),
    ]
    assert found[0].accuracy.value == 0.5
    assert found[0].accuracy.low < 0.5 < found[0].accuracy.high
    assert found[0].rest == 0.9


def test_slices_that_differ_by_chance_do_not_stand_out() -> None:
    random = np.random.default_rng(0)
    columns = {name: random.normal(100, 10, 400) for name in ("brightness", "sharpness", "entropy", "width")}
    found = slices.score_slices(predictions(random.random(400) < 0.8), manifest(400, **columns), seed=0)
    assert len(found) == 12
    assert {part.column for part in found} == {"brightness", "sharpness", "entropy", "size"}
    assert not any(part.stands_out for part in found)


def test_categories_are_sliced_by_value_and_identifiers_are_left_out() -> None:
    table = manifest(90, module=["mono", "mono", "poly"] * 30, format=["PNG"] * 80 + ["JPEG"] * 10)
    found = slices.score_slices(predictions(np.arange(90) % 5 > 0), table, seed=0)
    # Ten JPEG images are too few, and without them nothing is left to compare the PNG images with.
    assert {(part.column, part.slice, part.images) for part in found} == {
        ("module", "mono", 60),
        ("module", "poly", 30),
    }


def test_only_test_images_count() -> None:
    table = manifest(200, module=["mono", "poly"] * 100)
    found = slices.score_slices(predictions(np.arange(100) % 5 > 0), table, seed=0)
    assert [part.images for part in found] == [50, 50]


def test_folders_are_sources_unless_they_are_the_classes() -> None:
    paths = [f"{label}/{site}/{n}.png" for label in ("cat", "dog") for site in ("north", "south") for n in range(25)]
    table = manifest(100, path=paths, label=["cat"] * 50 + ["dog"] * 50)
    asked = predictions(np.arange(100) % 4 > 0).assign(id=paths, label=table["label"])
    found = slices.score_slices(asked, table, seed=0)
    assert {(part.column, part.slice) for part in found} == {("folder 2", "north"), ("folder 2", "south")}


def test_numbers_that_are_mostly_the_same_have_no_thirds() -> None:
    table = manifest(100, brightness=[10.0] * 30 + [20.0] * 70)
    assert slices.score_slices(predictions(np.arange(100) % 4 > 0), table, seed=0) == []
