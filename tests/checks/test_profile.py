import json
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import ks_2samp

from unfreeze.checks import profile


def images(count: int, *, seed: int, brightness: float = 120, cats: float = 0.5) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    measures = {name: random.normal(500, 50, count) for name in profile.MEASURED}
    measures["brightness"] = random.normal(brightness, 20, count)
    labels = np.where(np.arange(count) < cats * count, "cat", "dog")
    return pd.DataFrame({**measures, "label": labels, "sha256": [f"{seed}-{n}" for n in range(count)]})


def test_the_same_images_in_another_order_have_one_profile() -> None:
    rows = images(50, seed=0)
    assert profile.profile(rows, "set") == profile.profile(rows.sample(frac=1, random_state=0), "set")
    relabelled = rows.assign(label=["dog", *rows["label"][1:]])
    assert profile.profile(relabelled, "set")["digest"] != profile.profile(rows, "set")["digest"]


def test_drift_agrees_with_scipys_distance() -> None:
    before, after = images(800, seed=0), images(700, seed=1, brightness=150, cats=0.8)
    table = profile.drift(profile.profile(before, "set"), profile.profile(after, "set"))
    found = table.set_index("property")["distance"]
    for name in profile.MEASURED:
        assert found[name] == pytest.approx(ks_2samp(before[name], after[name]).statistic, abs=0.02)
    assert found["classes"] == pytest.approx(0.3, abs=0.01)
    assert found["brightness"] > 0.4
    assert found["sharpness"] < 0.1


def test_a_new_and_a_lost_class_count() -> None:
    before, after = images(10, seed=0, cats=1), images(10, seed=1, cats=0)
    found = profile.drift(profile.profile(before, "set"), profile.profile(after, "set"))
    assert found.loc[found["property"] == "classes", "distance"].item() == pytest.approx(1)


def test_the_version_before_is_the_last_one_in_git_with_other_images(tmp_path: Path) -> None:
    def commit(digest: str) -> None:
        path.write_text(digest if digest == "<<<<" else json.dumps(version(digest)))
        for command in (["add", "."], ["-c", "user.name=t", "-c", "user.email=t@e", "commit", "-qm", digest]):
            subprocess.run(["git", *command], cwd=tmp_path, check=True)

    def version(digest: str, name: str = "set") -> dict[str, str]:
        return {"name": name, "digest": digest}

    path = tmp_path / "metrics/profile.json"
    assert profile.previous(path, version("a")) is None
    path.parent.mkdir()
    assert profile.previous(path, version("a")) is None
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    assert profile.previous(path, version("a")) is None
    commit("a")
    assert profile.previous(path, version("a")) is None
    assert profile.previous(path, version("b")) == version("a")
    commit("b")
    # Before and after the commit of today's version it is the same one.
    assert profile.previous(path, version("b")) == version("a")
    commit("<<<<")
    assert profile.previous(path, version("c")) == version("b")
    assert profile.previous(path, version("c", "another set")) is None
