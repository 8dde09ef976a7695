"""Parts of messages about many files at once."""

from collections.abc import Collection, Iterable

from unfreeze.errors import UnfreezeError

# Examples in a message, and characters of each: with more it is no longer read.
EXAMPLES = 3
EXAMPLE_LENGTH = 100


def show_examples(values: Iterable[object], most: int = EXAMPLES) -> str:
    """Return the first few values for a message, and how many more there are; unprintable ones are escaped.

    >>> show_examples(["cat", "dog", "cow", "hen"], most=2)
    "'cat', 'dog' and 2 more"
    """
    items = list(values)
    shown = ", ".join(f"{str(value)!r:.{EXAMPLE_LENGTH}}" for value in items[:most])
    return f"{shown} and {len(items) - most} more" if len(items) > most else shown


def require_none(wrong: Collection[object], name: str, problem: str, remedy: str) -> None:
    """Refuse what is wrong, if anything is.

    Args:
        wrong: What is wrong; empty if nothing is.
        name: How messages call what holds it.
        problem: What it is, such as 'rows without a path'.
        remedy: What to do.

    Raises:
        UnfreezeError: Names examples and how many there are.
    """
    if len(wrong):
        raise UnfreezeError(f"{name} has {problem} ({len(wrong)}): {show_examples(wrong)}: {remedy}")
