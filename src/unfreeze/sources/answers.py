"""What every protocol gives to a download: the version of a file and its bytes from a place on."""

from collections.abc import Iterator
from dataclasses import dataclass

# Bytes between two writes: what a killed process can lose, and enough that the disk is not what is waited for.
CHUNK = 1 << 16


class TryAgainError(Exception):
    """A try that failed and may be repeated.

    Args:
        reason: What happened.
        from_start: Whether the bytes that have come are of no use.
    """

    def __init__(self, reason: str, *, from_start: bool = False) -> None:
        super().__init__(reason)
        self.from_start = from_start


@dataclass(frozen=True)
class Version:
    """Which file a partial one is the beginning of.

    Args:
        address: Where it comes from.
        validator: What changes when the file there does; None if the server tells nothing of the kind.
        size: Bytes of the whole file; None if the server does not tell.
    """

    address: str
    validator: str | None
    size: int | None


@dataclass(frozen=True)
class Answer:
    """What a server sends: its version of the file, and the bytes from a place on."""

    version: Version
    begin: int
    chunks: Iterator[bytes]
