"""Which of the project's modules a module imports, directly or through others, read off the source."""

import ast
from pathlib import Path

SOURCE = Path(__file__).parents[1] / "src"


def import_closure(module: str) -> set[str]:
    """Return the project's files that a module depends on, itself included, relative to the checkout.

    Packages' `__init__` files hold a docstring only (there is a test for that) and are left out.
    """
    found: set[str] = set()
    waiting = [module]
    while waiting:
        path = _file(waiting.pop())
        if path is None or str(path.relative_to(SOURCE.parent)) in found:
            continue
        found.add(str(path.relative_to(SOURCE.parent)))
        waiting += _imports(path)
    return found


def _imports(path: Path) -> list[str]:
    names: list[str] = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return [name for name in names if name.split(".")[0] == "unfreeze"]


def _file(module: str) -> Path | None:
    path = SOURCE / (module.replace(".", "/") + ".py")
    return path if path.is_file() else None
