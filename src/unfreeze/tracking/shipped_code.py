"""The modules of this package that a logged model needs, copied under a name of their own.

Where the model is loaded this project may be missing, or there may be another version of it; two models of different
versions may be loaded in one process. So the copy's name holds a digest of its content.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import unfreeze
from unfreeze import files

PACKAGE = "unfreeze"
IMPORT = re.compile(rf"^(\s*(?:from|import)\s+){PACKAGE}\b", re.MULTILINE)
# Digits of the digest in the copy's name.
DIGITS = 12


def write_copy(module: str, folder: Path) -> str:
    """Copy a module and all modules of this package that it imports.

    Args:
        module: Its full name.
        folder: Where the copy goes, as a package below it.

    Returns:
        The full name of the module's copy.
    """
    root = Path(unfreeze.__file__).parent
    sources = {path.relative_to(root).as_posix(): path.read_text("utf-8") for path in _find_modules(root, module)}
    name = f"{PACKAGE}_{files.digest(sources)[:DIGITS]}"
    for path, text in sources.items():
        files.write_text(folder / name / path, IMPORT.sub(rf"\g<1>{name}", text))
    return f"{name}{module.removeprefix(PACKAGE)}"


def _find_modules(root: Path, module: str) -> set[Path]:
    """Return the files of a module, of those that it imports, and of the packages around them."""
    found: set[Path] = set()
    waiting = [module]
    while waiting:
        name = waiting.pop()
        path = _find_file(root, name)
        if path is None or path in found:
            continue
        found.add(path)
        waiting.extend(_list_imports(path))
        if name != PACKAGE:
            waiting.append(name.rpartition(".")[0])
    return found


def _find_file(root: Path, module: str) -> Path | None:
    """Return a module's file; None for a name that is no module, such as that of a function."""
    base = root.joinpath(*module.split(".")[1:])
    return next((path for path in (base.with_suffix(".py"), base / "__init__.py") if path.is_file()), None)


def _list_imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (one.name for one in node.names if one.name.partition(".")[0] == PACKAGE)
        elif isinstance(node, ast.ImportFrom) and node.module and node.module.partition(".")[0] == PACKAGE:
            yield node.module
            yield from (f"{node.module}.{one.name}" for one in node.names)
