import numpy as np
import pandas as pd
import pytest

from unfreeze.checks import shortcuts


def images(count: int = 200) -> pd.DataFrame:
    random = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "label": np.where(np.arange(count) % 2, "cat", "dog"),
            "width": 640, "height": 480, "bytes": random.integers(9000, 11000, count),
            "brightness": random.normal(120, 20, count), "sharpness": random.normal(400, 90, count),
            "entropy": random.normal(7, 0.3, count), "format": "JPEG", "mode": "RGB",
        }
    )  # fmt: skip


def skills(rows: pd.DataFrame) -> dict[str, float]:
    return shortcuts.measure_skills(rows, seed=0).set_index("property")["skill"].to_dict()


def test_properties_that_say_nothing_have_no_skill() -> None:
    found = skills(images())
    assert set(found) == set(shortcuts.PROPERTIES)
    assert max(found.values()) < 0.25
    assert found["width"] == 0


def test_a_property_that_gives_the_label_away_is_named() -> None:
    rows = images()
    rows["format"] = np.where(rows["label"] == "cat", "PNG", "JPEG")
    rows.loc[rows["label"] == "dog", "height"] = 360
    found = skills(rows)
    assert {name for name, skill in found.items() if skill == 1} == {"format", "height", "aspect"}


def test_one_class_or_too_few_images_give_nothing() -> None:
    assert shortcuts.measure_skills(images().assign(label="cat"), 0).empty
    assert shortcuts.measure_skills(images(6), 0).empty


def test_many_images_are_sampled_and_classes_of_a_few_left_out() -> None:
    rows = pd.concat([images(60_000), images(2).assign(label="rare")], ignore_index=True)
    rows["mode"] = np.where(rows["label"] == "cat", "L", "RGB")
    assert skills(rows)["mode"] == 1


@pytest.mark.slow
def test_a_rare_class_outlives_the_sampling() -> None:
    rows = pd.concat([images(90_000).assign(label="good"), images(20).assign(label="bad", width=99)])
    assert skills(rows)["width"] == 1
    many = pd.concat([images(10).assign(label=f"class {number}") for number in range(2500)])
    assert max(skills(many).values()) < 0.1
