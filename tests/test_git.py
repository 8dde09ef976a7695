"""Folders and machines that git does not serve."""

import subprocess
from pathlib import Path

import pytest

from unfreeze import git
from unfreeze.errors import UnfreezeError


def test_a_folder_without_git_is_refused_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(UnfreezeError, match="git init && git add --all && git commit"):
        git.require_repository(tmp_path)
    subprocess.run(["git", "init", "--quiet"], cwd=tmp_path, check=True)
    git.require_repository(tmp_path)


def test_a_git_that_knows_no_name_is_refused_where_a_commit_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    subprocess.run(["git", "init", "--quiet"], cwd=tmp_path, check=True)
    settings = {"user.useConfigOnly": "true", "user.name": "", "user.email": ""}
    monkeypatch.setenv("GIT_CONFIG_COUNT", str(len(settings)))
    for index, (key, value) in enumerate(settings.items()):
        monkeypatch.setenv(f"GIT_CONFIG_KEY_{index}", key)
        monkeypatch.setenv(f"GIT_CONFIG_VALUE_{index}", value)
    with pytest.raises(UnfreezeError, match="git config --global user.email"):
        git.require_identity(tmp_path)
    monkeypatch.setenv("GIT_CONFIG_VALUE_1", "Ann")
    monkeypatch.setenv("GIT_CONFIG_VALUE_2", "ann@example.org")
    git.require_identity(tmp_path)


def test_a_machine_without_the_program_counts_as_outside_git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    git.require_repository(tmp_path)
    git.require_identity(tmp_path)
    assert git.find_commit(tmp_path) is None
    assert git.list_changed(tmp_path, "src") == []
    with pytest.raises(UnfreezeError, match="git is not installed"):
        git.require_commit(tmp_path)
