"""The registry of kinds of sources: what is known of each, and how to add one.

A kind is one file, in `unfreeze.sources.kinds` or in `plugins/sources` of the checkout. It holds the kind's settings,
a subclass of `Source` whose `kind` is a `Literal`, and calls `register`. `data.kind` in params.yaml chooses it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unfreeze.errors import UnfreezeError
from unfreeze.runtime.plugins import load_entries
from unfreeze.settings.sources import Source


@dataclass(frozen=True)
class Workplace:
    """Where a kind may put what it brings.

    Args:
        downloads: Folder for what is being fetched, on the same disk as the result. A later call finds in it what a
            killed one left; it is removed when all images are there.
        unpacked: Folder inside of it for unpacked files; it does not exist yet, and is removed in any case.
        recorded: Digest that came from this source before; None if there is none.
    """

    downloads: Path
    unpacked: Path
    recorded: str | None

    def require_recorded(self, name: str, digest: str, remedy: str) -> None:
        """Refuse content that is not what came from this source before.

        Args:
            name: How messages call the source, without secrets.
            digest: SHA-256 of what came now, 64 hexadecimal digits.
            remedy: What to do if the change is intended.

        Raises:
            UnfreezeError: Names both digests.
        """
        if self.recorded not in {None, digest}:
            raise UnfreezeError(
                f"data.source {name} has sha256 {digest}, and had {self.recorded} before: "
                f"if the change is intended, {remedy}"
            )


@dataclass(frozen=True)
class Brought:
    """What a kind gives: a folder that holds images in class folders, or a table of labels and the images.

    Args:
        folder: The folder.
        sha256: Digest of what was fetched, 64 hexadecimal digits. None for a folder of the user's, whose images are
            copied; those of others are moved.
    """

    folder: Path
    sha256: str | None


@dataclass(frozen=True)
class Kind:
    """One kind of source.

    Args:
        settings: Its settings.
        check: Refuses settings with which no images can come, before any work starts.
        bring: Makes the images available in a folder.
    """

    settings: type[Source]
    check: Callable[[Any], None]
    bring: Callable[[Any, Workplace], Brought]


_KINDS: dict[type[Source], Kind] = {}


def register(kind: Kind) -> None:
    """Add a kind to the registry; one with the same settings is replaced."""
    _KINDS[kind.settings] = kind


def find_kind(source: Source) -> Kind:
    """Return the kind of a source.

    Args:
        source: Settings of a registered kind.

    Raises:
        UnfreezeError: No file registers a kind with these settings.
    """
    load_entries("sources", "unfreeze.sources.kinds")
    if type(source) not in _KINDS:
        raise UnfreezeError(
            f"data.kind: the file that defines {type(source).__name__} does not register it: "
            "call unfreeze.sources.kind.register in it"
        )
    return _KINDS[type(source)]
