"""One source file as its top-level definitions, and the names that each of them uses."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from unfreeze.records.syntax import strip

PACKAGE = "unfreeze"


@dataclass
class Module:
    """One source file, split into its top-level definitions.

    Args:
        name: Dotted name.
        tree: Its syntax tree, stripped.
        definitions: Statements that bind each top-level name.
        effects: Statements that do something else when the module is imported.
        imports: What each imported name stands for: module, and name in it or None for the module itself.
        settings: Names of the types in the annotations of the class `Settings`.
    """

    name: str
    tree: ast.Module
    definitions: dict[str, list[ast.stmt]] = field(default_factory=dict)
    effects: list[ast.stmt] = field(default_factory=list)
    imports: dict[str, tuple[str, str | None]] = field(default_factory=dict)
    settings: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        for statement in self.tree.body:
            if isinstance(statement, ast.Import | ast.ImportFrom):
                continue
            names = list(_bound_names(statement))
            for name in names:
                self.definitions.setdefault(name, []).append(statement)
            if not names or self._registers(statement):
                self.effects.append(statement)

    def list_statements(self, name: str) -> list[ast.stmt]:
        """Return the statements of a definition, or those with an effect for the empty name."""
        return self.definitions.get(name, []) if name else self.effects

    def _registers(self, statement: ast.stmt) -> bool:
        """Tell whether a definition is decorated by a function of this package, which may register it."""
        decorators = getattr(statement, "decorator_list", [])
        roots = {node.id for decorator in decorators for node in ast.walk(decorator) if isinstance(node, ast.Name)}
        return any(self.imports.get(root, ("",))[0].startswith(PACKAGE) or root in self.definitions for root in roots)


def read_module(name: str, path: Path) -> Module:
    """Read a source file.

    Args:
        name: Its dotted name.
        path: The file.
    """
    tree = ast.parse(path.read_text(encoding="utf-8"), str(path))
    imports, settings = _list_imported_names(tree), _find_types_of_settings(tree)
    return Module(name, strip(tree), imports=imports, settings=settings)


def _find_types_of_settings(tree: ast.Module) -> set[str]:
    """Return the names in the annotations of the class `Settings`, whose instance a stage is handed."""
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == "Settings"]
    annotations = [node.annotation for item in classes for node in item.body if isinstance(node, ast.AnnAssign)]
    return {name for annotation in annotations for name, _ in find_names(annotation)}


def _bound_names(statement: ast.stmt) -> Iterator[str]:
    """Yield the names that a top-level statement binds, also inside of `if` and `try`."""
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        yield statement.name
    elif isinstance(statement, ast.Assign):
        for target in statement.targets:
            yield from (node.id for node in ast.walk(target) if isinstance(node, ast.Name) and _is_bound(node))
    elif isinstance(statement, ast.If | ast.Try | ast.With):
        for inner in ast.iter_child_nodes(statement):
            if isinstance(inner, ast.stmt):
                yield from _bound_names(inner)


def _is_bound(node: ast.Name) -> bool:
    return isinstance(node.ctx, ast.Store)


def _list_imported_names(tree: ast.Module) -> dict[str, tuple[str, str | None]]:
    """Return what each imported name of a module stands for, wherever in the module it is imported."""
    found: dict[str, tuple[str, str | None]] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                name = alias.name if alias.asname else alias.name.split(".")[0]
                found[alias.asname or name] = (name, None)
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                found[alias.asname or alias.name] = (node.module, alias.name)
    return found


def find_names(node: ast.AST) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield each name that occurs in a tree, with the attributes asked of it in turn."""
    if isinstance(node, ast.Attribute):
        chain: list[str] = []
        inner: ast.expr = node
        while isinstance(inner, ast.Attribute):
            chain.append(inner.attr)
            inner = inner.value
        if isinstance(inner, ast.Name):
            yield inner.id, tuple(reversed(chain))
            return
    if isinstance(node, ast.Name):
        yield node.id, ()
        return
    for child in ast.iter_child_nodes(node):
        yield from find_names(child)
