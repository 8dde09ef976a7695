"""The files that contributors and their tools read."""

import json
import re
import tomllib

import pytest
import yaml

from tests import dockerfile
from tests.conftest import PROJECT


@pytest.mark.parametrize(
    "name",
    ["CONTRIBUTING.md", "SECURITY.md", "README.md", "docs/architecture.md", "docs/machines.md", "docs/upgrading.md"],
)
def test_a_guide_names_only_targets_and_files_that_exist(name: str) -> None:
    text = (PROJECT / name).read_text()
    targets = set(re.findall(r"^([a-z-]+):", (PROJECT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"`make ([a-z-]+)", text)) <= targets
    named = re.findall(r"`((?:src|tests|docs|conf|checks)/[a-z\d_/.-]+\.(?:py|md|yaml|json))`", text)
    assert [path for path in named if not (PROJECT / path).exists()] == []
    linked = [link for link in re.findall(r"\]\(([^)#]+)", text) if "://" not in link]
    assert [link for link in linked if not (PROJECT / name).parent.joinpath(link).exists()] == []


def test_pre_commit_fetches_nothing_and_runs_what_lint_runs() -> None:
    repositories = yaml.safe_load((PROJECT / ".pre-commit-config.yaml").read_text())["repos"]
    assert [repository["repo"] for repository in repositories] == ["local"]
    lint = (PROJECT / "Makefile").read_text().partition("\nlint:")[2].partition("\n\n")[0]
    for hook in repositories[0]["hooks"]:
        assert hook["language"] == "system"
        assert hook["entry"].removeprefix(".venv/bin/").split()[0] in lint


def test_the_development_container_is_built_from_the_dockerfile() -> None:
    folder = PROJECT / ".devcontainer"
    build = json.loads((folder / "devcontainer.json").read_text())["build"]
    stages = dockerfile.read(folder / build["dockerfile"])
    # Where a build names no target it makes the last stage.
    assert "target" not in build
    assert list(stages)[-1] == "develop"
    assert stages["develop"].base == "packages"
    required = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]["requires-python"]
    version = re.match(r"python:(\d\.\d+)-", stages["packages"].base)
    assert version and f">={version[1]}" in required
    kept = (PROJECT / ".dockerignore").read_text().splitlines()
    for stage in stages.values():
        assert all((folder / build["context"] / name).exists() and f"!{name}" in kept for name in stage.copied)


def test_every_version_says_what_it_breaks() -> None:
    versions = (PROJECT / "CHANGELOG.md").read_text().split("\n## ")[1:]
    current = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]["version"]
    released = [version for version in versions if not version.startswith("Unreleased")]
    assert released[0].splitlines()[0].split()[0] == current
    assert all("### Breaks" in version for version in versions[:-1])


LISTED = re.findall(
    r"^\| `(src/[\w/.]+)` \| `([\w.]+)` \| .* \| `(tests/[\w/.]+)::(\w+)` \|$",
    (PROJECT / "docs/upgrading.md").read_text(),
    re.MULTILINE,
)
# Imports of modules that their libraries do not document, and private attributes of objects that are not our own.
PRIVATE = re.compile(
    r"\b(keras_tuner\.src|keras\.src|tensorflow\.python\.\w+|mlflow\.(?:utils|store|system_metrics)"
    r"|dvc\.(?:repo|schema|utils)|_keras_history|_inbound_nodes|_get_variable_index|_apply_weight_decay"
    r"|viewStateShareKey)\b"
    r"|(?!\b(?:self|cls|super|os|other)\b)\b[a-z]\w*\.(_(?!replace\b)[a-z]\w+)"
)


def test_private_interfaces_of_libraries_are_listed_with_the_test_that_fails_first() -> None:
    assert len(LISTED) > 10
    for module, interface, test, name in LISTED:
        assert interface in (PROJECT / module).read_text(), f"{module} no longer uses {interface}"
        assert f"def {name}(" in (PROJECT / test).read_text(), f"{test} has no {name}"
    used = {
        (str(path.relative_to(PROJECT)), match[1] or match[2])
        for path in (PROJECT / "src").rglob("*.py")
        for match in PRIVATE.finditer(path.read_text())
    }
    assert used == {(module, interface) for module, interface, _, _ in LISTED}
