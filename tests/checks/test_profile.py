from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import ks_2samp

from unfreeze import files
from unfreeze.checks import profile
from unfreeze.checks.profile import Profile, StoredProfile
from unfreeze.errors import UnfreezeError


def images(count: int, *, seed: int, brightness: float = 120, cats: float = 0.5) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    measures = {name: random.normal(500, 50, count) for name in profile.MEASURED}
    measures["brightness"] = random.normal(brightness, 20, count)
    labels = np.where(np.arange(count) < cats * count, "cat", "dog")
    return pd.DataFrame({**measures, "label": labels, "sha256": [f"{seed}-{n}" for n in range(count)]})


def test_the_same_images_in_another_order_have_one_profile() -> None:
    rows = images(50, seed=0)
    assert profile.describe_images(rows, "set") == profile.describe_images(rows.sample(frac=1, random_state=0), "set")
    relabelled = rows.assign(label=["dog", *rows["label"][1:]])
    assert profile.describe_images(relabelled, "set").digest != profile.describe_images(rows, "set").digest


def test_drift_agrees_with_scipys_distance() -> None:
    before, after = images(800, seed=0), images(700, seed=1, brightness=150, cats=0.8)
    table = profile.measure_drift(profile.describe_images(before, "set"), profile.describe_images(after, "set"))
    found = table.set_index("property")["distance"]
    for name in profile.MEASURED:
        assert found[name] == pytest.approx(ks_2samp(before[name], after[name]).statistic, abs=0.02)
    assert found["classes"] == pytest.approx(0.3, abs=0.01)
    assert found["brightness"] > 0.4
    assert found["sharpness"] < 0.1


def test_a_new_and_a_lost_class_count() -> None:
    before, after = images(10, seed=0, cats=1), images(10, seed=1, cats=0)
    found = profile.measure_drift(profile.describe_images(before, "set"), profile.describe_images(after, "set"))
    assert found.loc[found["property"] == "classes", "distance"].item() == pytest.approx(1)


def version(digest: str, name: str = "set") -> Profile:
    return Profile(name=name, digest=digest, images=1, classes={"cat": 1.0}, quantiles={})


def stored(now: Profile, previous: Profile | None) -> StoredProfile:
    return StoredProfile(**now.model_dump(), previous=previous)


def test_other_images_are_compared_with_those_of_the_last_run() -> None:
    assert profile.find_previous(None, version("a")) is None
    assert profile.find_previous(stored(version("a"), None), version("b")) == version("a")
    assert profile.find_previous(stored(version("b"), version("a")), version("c")) == version("b")


def test_a_second_run_on_the_same_images_compares_with_the_same_version() -> None:
    assert profile.find_previous(stored(version("b"), version("a")), version("b")) == version("a")
    assert profile.find_previous(stored(version("a"), None), version("a")) is None


def test_another_set_is_compared_with_nothing() -> None:
    assert profile.find_previous(stored(version("a", "another set"), None), version("b")) is None


def test_a_set_without_a_class_in_common_is_another_set() -> None:
    birds = version("b").model_copy(update={"classes": {"owl": 1.0}})
    assert profile.find_previous(stored(version("a"), None), birds) is None


def test_a_profile_written_before_versions_were_kept_is_the_previous_version(tmp_path: Path) -> None:
    path = tmp_path / "metrics/profile.json"
    assert profile.read(path) is None
    files.write_json(path, version("a").model_dump())
    assert profile.find_previous(profile.read(path), version("b")) == version("a")


@pytest.mark.parametrize("content", ["{}", "[]", '{"digest": "a", "images": "many"}'])
def test_a_profile_of_another_form_starts_again(tmp_path: Path, content: str) -> None:
    (tmp_path / "profile.json").write_text(content)
    assert profile.read(tmp_path / "profile.json") is None


@pytest.mark.parametrize("content", ["", "<<<<<<< HEAD\n{}\n=======\n{}\n>>>>>>> other\n", "\xff"])
def test_a_profile_with_conflict_markers_ends_in_one_line(tmp_path: Path, content: str) -> None:
    (tmp_path / "profile.json").write_bytes(content.encode("latin-1"))
    with pytest.raises(UnfreezeError, match=r"profile.json is no valid JSON .*git checkout --ours") as told:
        profile.read(tmp_path / "profile.json")
    assert "\n" not in str(told.value)
