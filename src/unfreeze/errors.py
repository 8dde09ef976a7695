"""The one error that ends a command with a line for people instead of a traceback."""


class UnfreezeError(Exception):
    """Something the user can correct.

    The message is one line: what was received, what was expected, what to do.

    >>> str(UnfreezeError("seed is -1, expected 0 or more: correct params.yaml"))
    'seed is -1, expected 0 or more: correct params.yaml'
    """
