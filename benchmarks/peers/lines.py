"""How many lines a user writes."""

import ast
import io
import tokenize

# Ends lines that are there for the measurement alone.
MEASURED = "# measured"
BLANK = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}


def count(source: str) -> int:
    """Return the lines of a script that hold code.

    Blank lines, comments, docstrings and lines marked as measured are none.

    Args:
        source: The script.
    """
    lines = source.splitlines()
    held = {
        number
        for token in tokenize.generate_tokens(io.StringIO(source).readline)
        if token.type not in BLANK
        for number in range(token.start[0], token.end[0] + 1)
    }
    documented = {
        number
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None
        for number in range(node.body[0].lineno, (node.body[0].end_lineno or 0) + 1)
    }
    return sum(not lines[number - 1].endswith(MEASURED) for number in held - documented)
