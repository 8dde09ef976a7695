"""Downloads that go on where they stopped, after a broken line as after a killed process."""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TypeVar

from unfreeze import files
from unfreeze.errors import UnfreezeError
from unfreeze.runtime import console
from unfreeze.sources.addresses import (
    ELSEWHERE,
    HTTP,
    check_address,
    check_folder_address,
    find_protocol,
    hide_secrets,
)
from unfreeze.sources.answers import Answer, TryAgainError, Version
from unfreeze.sources.archives import Names
from unfreeze.sources.stores import list_folder, open_stored_file
from unfreeze.sources.web import open_web_file

# Tries in a row that bring nothing new before a download is given up: with the waits below that is 15 seconds, in
# which a server restarts and a router finds its line again.
TRIES = 5
# Seconds before the second try; each further wait is twice as long.
FIRST_WAIT = 1.0
# Bytes of a file below which it has come before anybody has read a bar.
SHOWN_FROM = 10_000_000
MEGABYTE = 1_000_000

T = TypeVar("T")


def download(address: str, target: Path, *, sha256: str | None) -> str:
    """Download a file, from where an earlier try of this or another process stopped.

    The file grows under another name beside `target`, and a second file there tells which version of the remote
    file it is part of; that one stays, so that a later call fetches only what is new. A try that brings nothing is
    repeated after a wait.

    Args:
        address: `http://`, `https://`, or any address that fsspec knows.
        target: The file to make; an old one counts as what has come so far.
        sha256: The digest expected, 64 hexadecimal digits; None for any.

    Returns:
        The digest received.

    Raises:
        UnfreezeError: The file cannot be fetched, is a web page, or has another digest.
    """
    check_address(address)
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = files.name_partial(target)
    if target.exists():
        target.replace(partial)
    _download(address, partial)
    received = files.hash_file(partial)
    try:
        require_digest(hide_secrets(address), received, sha256)
    except UnfreezeError:
        files.remove(partial)
        files.remove(_name_version_file(partial))
        raise
    partial.replace(target)
    return received


def require_digest(name: str, received: str, expected: str | None) -> None:
    """Refuse a file whose digest is not the one in params.yaml, if there is one.

    Raises:
        UnfreezeError: Names both digests.
    """
    if expected is not None and received != expected:
        raise UnfreezeError(
            f"data.source {name} has sha256 {received}, params.yaml expects {expected}: "
            "fetch it again, or set data.sha256 if its publisher confirms the change"
        )


def download_folder(address: str, parent: Path) -> tuple[Path, str]:
    """Download all files below an address, one after the other.

    Args:
        address: A folder at any address that fsspec can list.
        parent: Where the folder is made. Its name follows from the names of the files, so that none of an earlier
            list gets between them; what has come is not fetched again.

    Returns:
        The folder, and one digest of all names and contents.

    Raises:
        UnfreezeError: The address cannot be listed or a file not fetched, or a name is unsafe.
    """
    check_folder_address(address)
    found = _retry(lambda: list_folder(address), address, lambda: 0)
    require_safe_names(address, found)
    folder = parent / files.digest([address, *sorted(found)])[:16]
    digests = {
        name: download(found[name], folder / name, sha256=None)
        for name in console.track(sorted(found), f"fetching {hide_secrets(address)}", len(found))
    }
    folder.mkdir(parents=True, exist_ok=True)
    return folder, files.digest(digests)


def require_safe_names(address: str, found: Iterable[str]) -> None:
    """Refuse files below an address whose paths are not safe on this machine.

    Args:
        address: The folder's address.
        found: Paths of its files.

    Raises:
        UnfreezeError: Names the first.
    """
    names = Names()
    for name in found:
        if problem := names.find_problem(name, is_folder=False):
            raise UnfreezeError(
                f"data.source {hide_secrets(address)} holds {name!r:.200}, which {problem}: rename it there"
            )


def _download(address: str, partial: Path) -> None:
    open_remote = open_web_file if find_protocol(address) in HTTP else open_stored_file

    def one_try() -> None:
        begin = _measure_size(partial)
        known = _read_version(partial, address) if begin else Version(address, None, None)
        with open_remote(address, known, begin) as answer:
            _receive(answer, partial)

    _retry(one_try, address, lambda: _measure_size(partial), lambda: files.remove(partial))


def _retry(
    one_try: Callable[[], T], address: str, reached: Callable[[], int], forget: Callable[[], None] = lambda: None
) -> T:
    """Repeat what fails until `TRIES` tries in a row have come no farther."""
    farthest, failures = reached(), 0
    while True:
        try:
            return one_try()
        except TryAgainError as error:
            failures = 1 if reached() > farthest else failures + 1
            farthest = max(farthest, reached())
            if error.from_start:
                forget()
            if failures == TRIES:
                raise UnfreezeError(
                    f"data.source {hide_secrets(address)} could not be fetched ({error}, {TRIES} times): check the "
                    f"address and the network and run `dvc repro` again, which goes on from there, or {ELSEWHERE}"
                ) from error
            wait = FIRST_WAIT * 2 ** (failures - 1)
            console.log.warning("%s: %s; trying again in %.0f s", hide_secrets(address), error, wait)
        time.sleep(wait)


def _receive(answer: Answer, partial: Path) -> None:
    """Write what comes behind what is there, or in its place if the answer begins at 0."""
    size = answer.version.size
    if size is not None:
        files.require_space(partial.parent, size - answer.begin)
    with (
        partial.open("ab" if answer.begin else "wb") as stream,
        _show_progress(answer.version, answer.begin) as advance,
    ):
        # After the old bytes are gone, before the first new one comes: if killed in between, a later try starts at 0.
        files.write_json(_name_version_file(partial), asdict(answer.version))
        for chunk in answer.chunks:
            stream.write(chunk)
            advance(len(chunk))
    received = _measure_size(partial)
    if size is not None and received != size:
        raise TryAgainError(f"{received:,} of {size:,} bytes came", from_start=received > size)


@contextmanager
def _show_progress(version: Version, begin: int) -> Iterator[Callable[[int], None]]:
    """Show progress in megabytes, if the size is known and worth it."""
    if version.size is None or version.size - begin < SHOWN_FROM:
        yield lambda _: None
        return
    received = begin
    with console.progress(f"fetching {hide_secrets(version.address)}, MB", version.size // MEGABYTE) as advance:
        advance(begin // MEGABYTE)

        def count(size: int) -> None:
            nonlocal received
            steps = (received + size) // MEGABYTE - received // MEGABYTE
            received += size
            if steps:
                advance(steps)

        yield count


def _measure_size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _name_version_file(partial: Path) -> Path:
    return files.with_short_name(partial.with_name(f"{partial.name}.json"))


def _read_version(partial: Path, address: str) -> Version:
    """Return what the partial file is part of, without a validator if nothing usable tells it."""
    unknown = Version(address, None, None)
    try:
        version = Version(**files.read_json(_name_version_file(partial)))
    except (OSError, UnfreezeError, TypeError):
        return unknown
    return version if version.address == address else unknown
