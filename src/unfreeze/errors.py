"""The one error that ends a command with a line for people instead of a traceback, and others' errors in a line."""

from collections.abc import Callable

# Characters of another library's error in a message: what follows is seldom read, and holds dumps of what was given.
LONGEST = 300


class UnfreezeError(Exception):
    """Something the user can correct.

    The message is one line: what was received, what was expected, what to do.

    >>> str(UnfreezeError("seed is -1, expected 0 or more: correct params.yaml"))
    'seed is -1, expected 0 or more: correct params.yaml'
    """


def shorten(error: BaseException, *, hide: Callable[[str], str] = str, named: bool = False) -> str:
    r"""Return an error's message as a part of one line.

    Line breaks become blanks, and of another library's message the first `LONGEST` characters are kept. The project's
    own errors, which end with the remedy, are kept whole.

    Args:
        error: The error.
        hide: Takes secrets out of the message before it is cut, for half a password is not recognised.
        named: Whether the error's type comes first. Of an error without a message the type is all there is.

    >>> shorten(ValueError("two\nlines"))
    'two lines'
    >>> shorten(ValueError("two\nlines"), named=True)
    'ValueError: two lines'
    >>> shorten(AssertionError())
    'AssertionError'
    """
    name, text = type(error).__name__, hide(" ".join(str(error).split()))
    if len(text) > LONGEST and not isinstance(error, UnfreezeError):
        text = f"{text[:LONGEST]}..."
    return f"{name}: {text}" if named and text else text or name
