"""Each pair of model and fold counts once; git merges what two branches add."""

import subprocess
from pathlib import Path

import pytest

from unfreeze.paths import Paths
from unfreeze.records.test_evaluations import FoldUse, ScoredModel, count, record

FOLD = "f" * 64


def scored(model: str, *, fold: str = FOLD) -> ScoredModel:
    return ScoredModel(model=model, fold=fold, backbone="xception")


def names(paths: Paths) -> list[str]:
    return sorted(str(path.relative_to(paths.test_evaluations)) for path in paths.test_evaluations.glob("*/*.json"))


def test_a_pair_is_written_once_to_the_same_bytes(tmp_path: Path) -> None:
    paths = Paths(tmp_path)
    record(paths, [scored("a"), scored("a"), scored("b")])
    assert names(paths) == ["ffffffffffffffff/a.json", "ffffffffffffffff/b.json"]
    before = (paths.test_evaluations / names(paths)[0]).read_bytes()
    record(paths, [scored("a")])
    assert (paths.test_evaluations / names(paths)[0]).read_bytes() == before


def test_the_first_study_of_a_fold_has_none_before_it(tmp_path: Path) -> None:
    paths = Paths(tmp_path)
    # Another fold, such as that of the images that the project comes with.
    record(paths, [scored("z", fold="0" * 64)])
    own = [scored("a"), scored("b")]
    record(paths, own)
    assert count(paths, own) == FoldUse(models=2, earlier=0)
    assert count(paths, [scored("c")]) == FoldUse(models=3, earlier=2)


def test_an_experiment_in_a_copy_is_kept_in_the_checkout_it_comes_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = Paths(tmp_path / "copy")
    monkeypatch.setenv("DVC_ROOT", str(tmp_path / "checkout"))
    record(copy, [scored("a")])
    assert names(copy) == names(Paths(tmp_path / "checkout")) == ["ffffffffffffffff/a.json"]


def test_two_branches_that_each_add_a_model_merge_and_both_count(tmp_path: Path) -> None:
    def git(*arguments: str) -> str:
        identity = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
        done = subprocess.run(
            ["git", *identity, *arguments], cwd=tmp_path, capture_output=True, text=True, check=True
        )
        return done.stdout

    paths = Paths(tmp_path)
    git("init", "--quiet", "--initial-branch", "main")
    git("commit", "--quiet", "--allow-empty", "--message", "base")
    # Both score `b` as well.
    for branch, models in (("one", "ab"), ("other", "bc")):
        git("switch", "--quiet", "--create", branch, "main")
        record(paths, map(scored, models))
        git("add", "--all")
        git("commit", "--quiet", "--message", branch)
    git("merge", "--quiet", "--no-edit", "one")
    assert git("status", "--porcelain") == ""
    assert count(paths, map(scored, "bc")) == FoldUse(models=3, earlier=1)
