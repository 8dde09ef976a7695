"""Syntax trees without what cannot change a result, as words that are the same in every version of Python."""

import ast
from collections.abc import Iterator
from typing import Any, cast

LOG_LEVELS = {"debug", "info", "warning", "error", "exception", "critical"}
# Its message ends a command; it is never written into an output.
ENDING_ERROR = "UnfreezeError"


def strip(tree: ast.Module) -> ast.Module:
    """Return a module without docstrings, type hints, and the texts of errors, log lines and progress bars.

    Annotations stay in classes that read them: all but dataclasses.
    """
    stripped = _Stripper().visit(tree)
    assert isinstance(stripped, ast.Module)
    return stripped


def iterate_tokens(node: Any) -> Iterator[str]:
    """Yield the words of a syntax tree: the kinds of its nodes and their values, without places and empty fields.

    Imports are left out: what an imported name stands for is up to the caller.
    """
    if isinstance(node, ast.Import | ast.ImportFrom):
        return
    if isinstance(node, ast.AST):
        yield f"({type(node).__name__}"
        for name, value in ast.iter_fields(node):
            # `kind` tells u"" from "", `type_params` came with Python 3.12.
            if value in (None, []) and not isinstance(node, ast.Constant):
                continue
            if name not in ("kind", "ctx", "type_comment"):
                yield name
                yield from iterate_tokens(value)
        yield ")"
    elif isinstance(node, list):
        for item in node:
            yield from iterate_tokens(item)
    elif isinstance(node, str):
        yield node
    else:
        yield f"{type(node).__name__} {node!r}"


class _Stripper(ast.NodeTransformer):
    def __init__(self) -> None:
        # Whether the statement at hand stands in a class that reads its annotations.
        self._reads_annotations = False

    def visit_Expr(self, node: ast.Expr) -> ast.AST | None:
        if isinstance(node.value, ast.Constant) or _is_log_line(node.value):
            return None
        return self.generic_visit(node)

    def visit_If(self, node: ast.If) -> ast.AST | None:
        if isinstance(node.test, ast.Name | ast.Attribute) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
            return None
        return self.generic_visit(node)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        return self._visit_function(node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> ast.AST:
        return self._visit_function(node)

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        outer = self._reads_annotations
        self._reads_annotations = not any("dataclass" in ast.unparse(item) for item in node.decorator_list)
        visited = self.generic_visit(node)
        self._reads_annotations = outer
        return visited

    def visit_arg(self, node: ast.arg) -> ast.AST:
        node.annotation = None
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST | None:
        if self._reads_annotations:
            return self.generic_visit(node)
        if node.value is None and not isinstance(node.target, ast.Name):
            return None
        # A dataclass's field without a default is still a field.
        value = node.value or ast.Constant(...)
        assigned = ast.Assign(targets=[node.target], value=value)
        return self.generic_visit(ast.copy_location(assigned, node))

    def visit_Raise(self, node: ast.Raise) -> ast.AST:
        raised = node.exc
        if isinstance(raised, ast.Call) and ast.unparse(raised.func).endswith(ENDING_ERROR):
            node.exc = raised.func
        return self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> ast.AST:
        called = ast.unparse(node.func)
        if called in ("cast", "typing.cast"):
            return cast(ast.AST, self.visit(node.args[1]))
        if called.split(".")[0] == "console":
            node.args = [item for item in node.args if not _is_text(item)]
            node.keywords = [item for item in node.keywords if not _is_text(item.value)]
        return self.generic_visit(node)

    def _visit_function(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> ast.AST:
        outer, self._reads_annotations = self._reads_annotations, False
        node.returns = None
        visited = self.generic_visit(node)
        self._reads_annotations = outer
        return visited


def _is_log_line(node: ast.expr) -> bool:
    return (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in LOG_LEVELS
        and "log" in ast.unparse(node.func.value).split(".")
    )


def _is_text(node: ast.expr) -> bool:
    return isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, str))
