"""The one error that ends a command with a line for people instead of a traceback."""


class UnfreezeError(Exception):
    """Something the user can correct.

    The message is one line: what was received, what was expected, what to do.

    >>> str(UnfreezeError("seed is -1, expected 0 or more: correct params.yaml"))
    'seed is -1, expected 0 or more: correct params.yaml'
    """


def shorten(error: Exception) -> str:
    r"""Return another library's error as a part of one line.

    >>> shorten(ValueError("two\nlines"))
    'two lines'
    """
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) < 200 else f"{text[:200]}..."
