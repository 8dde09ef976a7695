"""Downloads that go on where they stopped, after a broken line as after a killed process."""

import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import unquote, urljoin, urlsplit

import fsspec
import requests
import urllib3

from unfreeze import files
from unfreeze.errors import UnfreezeError
from unfreeze.runtime import console
from unfreeze.sources.archives import Names

# Tries in a row that bring nothing new before a download is given up: with the waits below that is 15 seconds, in
# which a server restarts and a router finds its line again.
TRIES = 5
# Seconds before the second try; each further wait is twice as long.
FIRST_WAIT = 1.0
# Seconds without a byte after which a connection counts as dead. Stores that fetch from tape or another region take
# up to half a minute.
STALL = 60.0
# Bytes between two writes: what a killed process can lose, and enough that the disk is not what is waited for.
CHUNK = 1 << 16
# Redirects in a row; a download service takes two or three.
MAX_REDIRECTS = 10
# Bytes of a file below which it has come before anybody has read a bar.
SHOWN_FROM = 10_000_000
MEGABYTE = 1_000_000
HTTP = {"http", "https"}
WEB_PAGE = {"text/html", "application/xhtml+xml"}

# Too many requests, and a server too slow or out of order: another try may do. Other answers below 500 are final.
TRANSIENT = {408, 429}

# A user and a password before the host; what is only digits up to the path is a port.
PASSWORD = re.compile(r"://[^/?#@\[\]]*:(?!\d*(?:[/?#]|$)).*@|(?<=http)s?://[^/?#@]+@")
ELSEWHERE = "download it elsewhere, unpack it and use -S data=folder -S data.source=PATH"

T = TypeVar("T")


class _TryAgainError(Exception):
    """A try that failed and may be repeated.

    Args:
        reason: What happened.
        anew: Whether what has come is of no use.
    """

    def __init__(self, reason: str, *, anew: bool = False) -> None:
        super().__init__(reason)
        self.anew = anew


@dataclass(frozen=True)
class _Version:
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
class _Answer:
    """What a server sends: its version of the file, and the bytes from a place on."""

    version: _Version
    begin: int
    chunks: Iterator[bytes]


def check_address(address: str) -> None:
    """Refuse an address that holds a password or whose protocol cannot be used here, before anything is fetched.

    Raises:
        UnfreezeError: Names what to do; the password is not shown.
    """
    if PASSWORD.search(address):
        raise UnfreezeError(
            f"data.source {shown(address)} holds a password: take it out, and give it through the environment "
            "(~/.netrc for http, otherwise the variables of the protocol's package, such as AWS_SECRET_ACCESS_KEY)"
        )
    protocol = _protocol(address)
    try:
        fsspec.get_filesystem_class(protocol)
    except ValueError as error:
        raise UnfreezeError(
            f"data.source {shown(address)} has the unknown protocol {protocol!r}: use one that fsspec knows, "
            "such as https, s3, gs, az or webdav"
        ) from error
    except ImportError as error:
        raise UnfreezeError(
            f"data.source {shown(address)} needs a package that is not installed ({error}): "
            "install it with `.venv/bin/pip install`"
        ) from error


def shown(address: str) -> str:
    """Return a text for messages without the secrets that addresses in it may hold: passwords and queries."""
    address = PASSWORD.sub("://***@", address)
    return re.sub(r"\?[^\s'\")]+", "?...", address)


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
    partial = files.partial_of(target)
    if target.exists():
        target.replace(partial)
    _download(address, partial)
    received = files.sha256(partial)
    try:
        require_digest(shown(address), received, sha256)
    except UnfreezeError:
        files.remove(partial)
        files.remove(_version_file(partial))
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
        address: A folder at any address that fsspec can list; over http a page with links.
        parent: Where the folder is made. Its name follows from the names of the files, so that none of an earlier
            list gets between them; what has come is not fetched again.

    Returns:
        The folder, and one digest of all names and contents.

    Raises:
        UnfreezeError: The address cannot be listed or a file not fetched, or a name is unsafe.
    """
    check_address(address)
    found = _retried(lambda: _listed(address), address, lambda: 0)
    names = Names()
    for name in found:
        if problem := names.problem(name, is_folder=False):
            raise UnfreezeError(f"data.source {shown(address)} holds {name!r:.200}, which {problem}: rename it there")
    folder = parent / files.digest([address, *sorted(found)])[:16]
    digests = {
        name: download(found[name], folder / name, sha256=None)
        for name in console.track(sorted(found), f"fetching {shown(address)}", len(found))
    }
    folder.mkdir(parents=True, exist_ok=True)
    return folder, files.digest(digests)


def _download(address: str, partial: Path) -> None:
    open_remote = _http if _protocol(address) in HTTP else _fsspec

    def one_try() -> None:
        begin = _size(partial)
        known = _read_version(partial, address) if begin else _Version(address, None, None)
        with open_remote(address, known, begin) as answer:
            _receive(answer, partial)

    _retried(one_try, address, lambda: _size(partial), lambda: files.remove(partial))


def _retried(
    one_try: Callable[[], T], address: str, reached: Callable[[], int], forget: Callable[[], None] = lambda: None
) -> T:
    """Repeat what fails until `TRIES` tries in a row have come no farther."""
    farthest, failures = reached(), 0
    while True:
        try:
            return one_try()
        except _TryAgainError as error:
            failures = 1 if reached() > farthest else failures + 1
            farthest = max(farthest, reached())
            if error.anew:
                forget()
            if failures == TRIES:
                raise UnfreezeError(
                    f"data.source {shown(address)} could not be fetched ({error}, {TRIES} times): check the address "
                    f"and the network and run `dvc repro` again, which goes on from there, or {ELSEWHERE}"
                ) from error
            wait = FIRST_WAIT * 2 ** (failures - 1)
            console.log.warning("%s: %s; trying again in %.0f s", shown(address), error, wait)
        time.sleep(wait)


def _receive(answer: _Answer, partial: Path) -> None:
    """Write what comes behind what is there, or in its place if the answer begins at 0."""
    size = answer.version.size
    if size is not None:
        files.require_space(partial.parent, size - answer.begin)
    with (
        partial.open("ab" if answer.begin else "wb") as stream,
        _progress(answer.version, answer.begin) as advance,
    ):
        # After the old bytes are gone, before the first new one comes: a process killed in between starts anew.
        files.write_json(_version_file(partial), asdict(answer.version))
        for chunk in answer.chunks:
            stream.write(chunk)
            advance(len(chunk))
    received = _size(partial)
    if size is not None and received != size:
        raise _TryAgainError(f"{received:,} of {size:,} bytes came", anew=received > size)


@contextmanager
def _progress(version: _Version, begin: int) -> Iterator[Callable[[int], None]]:
    """Show progress in megabytes, if the size is known and worth it."""
    if version.size is None or version.size - begin < SHOWN_FROM:
        yield lambda _: None
        return
    received = begin
    with console.progress(f"fetching {shown(version.address)}, MB", version.size // MEGABYTE) as advance:
        advance(begin // MEGABYTE)

        def count(size: int) -> None:
            nonlocal received
            steps = (received + size) // MEGABYTE - received // MEGABYTE
            received += size
            if steps:
                advance(steps)

        yield count


class _Session(requests.Session):
    """Follows a few redirects, but none that gives up encryption."""

    def __init__(self) -> None:
        super().__init__()
        self.max_redirects = MAX_REDIRECTS
        # An encoded file has other bytes and another length than the one that is resumed.
        self.headers["Accept-Encoding"] = "identity"

    def get_redirect_target(self, response: requests.Response) -> str | None:
        target = super().get_redirect_target(response)
        if target and _protocol(response.url) == "https" and urlsplit(urljoin(response.url, target)).scheme == "http":
            raise UnfreezeError(
                f"data.source {shown(response.url)} redirects to {shown(target)}, which is not encrypted: "
                f"give the address of a server that stays with https, or {ELSEWHERE}"
            )
        return target


@contextmanager
def _http(address: str, known: _Version, begin: int) -> Iterator[_Answer]:
    headers = {"Range": f"bytes={begin}-", "If-Range": known.validator} if known.validator else {}
    with _Session() as session:
        try:
            response = session.get(address, headers=headers, stream=True, timeout=STALL)
        except (requests.TooManyRedirects, ValueError) as error:
            # requests' errors on addresses that are none are ValueErrors.
            raise _final(address, _root(error)) from error
        except requests.RequestException as error:
            raise _TryAgainError(_root(error)) from error
        with response:
            yield _answer(response, known, begin)


def _answer(response: requests.Response, known: _Version, begin: int) -> _Answer:
    status = f"status {response.status_code} {response.reason}".strip()
    length = response.headers.get("Content-Length", "")
    version = _Version(known.address, _validator(response), int(length) if length.isdecimal() else None)
    if response.status_code == 200:
        kind = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        if kind in WEB_PAGE and not re.search("[.]html?$", urlsplit(known.address).path):
            raise UnfreezeError(
                f"data.source {shown(known.address)} is a web page ({kind}), not a file: "
                f"give the direct link, the one a browser saves instead of showing, or {ELSEWHERE}"
            )
        return _Answer(version, 0, _http_chunks(response))
    ranges = response.headers.get("Content-Range", "")
    if known.validator and response.status_code == 206:
        size = r"(\d+|[*])" if known.size is None else known.size
        if re.fullmatch(rf"bytes {begin}-\d+/{size}", ranges) and version.validator in {None, known.validator}:
            return _Answer(known, begin, _http_chunks(response))
        raise _TryAgainError(f"asked for bytes from {begin:,} on and got {ranges or 'bytes unnamed'!r}", anew=True)
    if known.validator and response.status_code == 416:
        # Nothing lies behind what is there: it is whole, if the server still says so.
        if begin == known.size and ranges == f"bytes */{begin}":
            return _Answer(known, begin, iter(()))
        raise _TryAgainError(f"{status}, where {begin:,} bytes had come", anew=True)
    if response.status_code in TRANSIENT or response.status_code >= 500:
        raise _TryAgainError(status)
    raise _final(known.address, status)


def _http_chunks(response: requests.Response) -> Iterator[bytes]:
    try:
        yield from response.raw.stream(CHUNK, decode_content=False)
    except urllib3.exceptions.HTTPError as error:
        raise _TryAgainError(_root(error)) from error


def _validator(response: requests.Response) -> str | None:
    """Return what `If-Range` takes: a strong ETag or a date (RFC 9110, 13.1.5)."""
    tag = response.headers.get("ETag")
    return tag if tag and not tag.startswith("W/") else response.headers.get("Last-Modified")


@contextmanager
def _fsspec(address: str, known: _Version, begin: int) -> Iterator[_Answer]:
    with _translated(address):
        filesystem, path = _filesystem(address)
        version = _Version(address, filesystem.ukey(path), filesystem.info(path).get("size"))
    begin = begin if version == known else 0
    yield _Answer(version, begin, _fsspec_chunks(filesystem, path, begin, address))


def _fsspec_chunks(filesystem: Any, path: str, begin: int, address: str) -> Iterator[bytes]:
    with _translated(address), filesystem.open(path, "rb") as stream:
        stream.seek(begin)
        while chunk := stream.read(CHUNK):
            yield chunk


def _listed(address: str) -> dict[str, str]:
    """Return the address of each file below one, by its path there."""
    over_http = _protocol(address) in HTTP
    with _translated(address):
        filesystem, root = _filesystem(address)
        root = f"{root.rstrip('/')}/"
        paths: list[str] = []
        waiting = [root if over_http else root.rstrip("/")]
        # Not `find` or `walk`: they leave out folders below that could not be listed.
        while waiting:
            for entry in filesystem.ls(waiting.pop(), detail=True):
                path = entry["name"]
                # Pages link to themselves and elsewhere, stores list a folder in itself.
                if not path.startswith(root) or path.rstrip("/") == root.rstrip("/") or path.endswith("/./"):
                    continue
                (waiting if entry["type"] == "directory" else paths).append(path)
    if over_http:
        # Links with a query sort the page.
        return {unquote(path.removeprefix(root)): path for path in paths if "?" not in path}
    return {path.removeprefix(root): filesystem.unstrip_protocol(path) for path in paths if not path.endswith("/")}


def _filesystem(address: str) -> tuple[Any, str]:
    # Only this lets aiohttp see the proxies and ~/.netrc, which requests sees by itself.
    options = {"client_kwargs": {"trust_env": True}} if _protocol(address) in HTTP else {}
    filesystem, path = fsspec.url_to_fs(address, **options)
    # One instance serves a whole process and remembers what it has seen.
    filesystem.invalidate_cache()
    return filesystem, path


@contextmanager
def _translated(address: str) -> Iterator[None]:
    try:
        yield
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError, PermissionError) as error:
        raise _final(address, _text(error)) from error
    # The packages behind fsspec raise nearly anything.
    except Exception as error:
        raise _TryAgainError(_text(error)) from error


def _final(address: str, reason: str) -> UnfreezeError:
    return UnfreezeError(
        f"data.source {shown(address)} could not be fetched ({reason}): check the address and, if it needs a login, "
        f"the credentials in the environment, or {ELSEWHERE}"
    )


def _root(error: BaseException) -> str:
    """Return what an error of requests or urllib3 goes back to, which says it in the fewest words."""
    while inner := error.__cause__ or error.__context__:
        error = inner
    return _text(error)


def _text(error: BaseException) -> str:
    return shown(" ".join(str(error).split()))[:300] or type(error).__name__


def _protocol(address: str) -> str:
    return address.partition("://")[0].rpartition("::")[2].lower()


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _version_file(partial: Path) -> Path:
    return partial.with_name(f"{partial.name}.json")


def _read_version(partial: Path, address: str) -> _Version:
    """Return what the partial file is part of, without a validator if nothing usable tells it."""
    unknown = _Version(address, None, None)
    try:
        version = _Version(**files.read_json(_version_file(partial)))
    except (OSError, UnfreezeError, TypeError):
        return unknown
    return version if version.address == address else unknown
