"""git and DVC are each called from one module."""

import ast
from pathlib import Path

from tests.conftest import PROJECT

SOURCE = PROJECT / "src/unfreeze"


def importers(package: str) -> set[str]:
    """Return the modules that import a package, at whatever place."""
    found = set()
    for path in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            if any(Path(*name.split(".")).is_relative_to(package) for name in names):
                found.add(str(path.relative_to(SOURCE)))
    return found


def test_dvc_is_imported_by_its_wrappers_alone() -> None:
    # The second one asks what a plan needs.
    assert importers("dvc") == {"dvc_repo.py", "dvc_workspace.py"}


def test_programs_are_run_by_the_wrappers_alone() -> None:
    # Wheels are fetched by pip, whatever package index the user has set.
    # Keras takes one backend a process, and networks are counted with another one than TensorFlow.
    # An exported model is tried in an environment of its own.
    assert importers("subprocess") == {
        "dvc_repo.py", "git.py", "planning/networks.py", "serving/export/environment.py", "sources/wheels.py",
    }  # fmt: skip
