"""Parts of messages about many files at once."""

from collections.abc import Collection, Iterable
from typing import NoReturn

from unfreeze.errors import UnfreezeError
from unfreeze.sources.addresses import hide_secrets

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


def refuse_to_stay(source: str, problem: str) -> NoReturn:
    """Refuse `data.in_place` for a source whose images are no files that stages can read where they are.

    Args:
        source: The source, as its settings have it.
        problem: What it is, such as "no folder of this machine".

    Raises:
        UnfreezeError: Says what to do.
    """
    raise UnfreezeError(
        f"data.source {hide_secrets(source)} is {problem}, and data.in_place needs image files in such a folder: "
        "mount or unpack it and give the folder, or use another preset than data=in_place, which copies the images"
    )
