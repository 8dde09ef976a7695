"""Files by http and https: ranges, versions and redirects (RFC 9110)."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urljoin, urlsplit

import requests
import urllib3

from unfreeze.sources.addresses import (
    ELSEWHERE,
    RefusedAddressError,
    describe_cause,
    find_protocol,
    hide_secrets,
    make_refusal,
)
from unfreeze.sources.answers import CHUNK, Answer, TryAgainError, Version

# Seconds without a byte after which a connection counts as dead. Stores that fetch from tape or another region take
# up to half a minute.
STALL = 60.0
# Redirects in a row; a download service takes two or three.
MAX_REDIRECTS = 10
WEB_PAGE = {"text/html", "application/xhtml+xml"}

# Too many requests, and a server too slow or out of order: another try may do. Other answers below 500 are final.
TRANSIENT = {408, 429}


class _Session(requests.Session):
    """Follows a few redirects, but none that gives up encryption."""

    def __init__(self) -> None:
        super().__init__()
        self.max_redirects = MAX_REDIRECTS
        # An encoded file has other bytes and another length than the one that is resumed.
        self.headers["Accept-Encoding"] = "identity"

    def get_redirect_target(self, response: requests.Response) -> str | None:
        target = super().get_redirect_target(response)
        if (
            target
            and find_protocol(response.url) == "https"
            and urlsplit(urljoin(response.url, target)).scheme == "http"
        ):
            raise RefusedAddressError(
                f"data.source {hide_secrets(response.url)} redirects to {hide_secrets(target)}, which is not "
                f"encrypted: give the address of a server that stays with https, or {ELSEWHERE}",
                f"it redirects to {hide_secrets(target)}, which is not encrypted",
            )
        return target


@contextmanager
def open_web_file(address: str, known: Version, begin: int) -> Iterator[Answer]:
    """Ask a server for a file, from a byte on if it is still the version that is known.

    Args:
        address: `http://` or `https://`.
        known: What the bytes that have come are part of.
        begin: Number of bytes that have come.

    Yields:
        The answer, which begins at 0 if the server sends the whole file.

    Raises:
        UnfreezeError: Another try would not help.
        TryAgainError: Another try may help.
    """
    headers = {"Range": f"bytes={begin}-", "If-Range": known.validator} if known.validator else {}
    with _Session() as session:
        try:
            response = session.get(address, headers=headers, stream=True, timeout=STALL)
        except (requests.TooManyRedirects, ValueError) as error:
            # requests' errors on addresses that are none are ValueErrors.
            raise make_refusal(address, describe_cause(error)) from error
        except requests.RequestException as error:
            raise TryAgainError(describe_cause(error)) from error
        with response:
            yield _read_answer(response, known, begin)


def _read_answer(response: requests.Response, known: Version, begin: int) -> Answer:
    status = f"status {response.status_code} {response.reason}".strip()
    length = response.headers.get("Content-Length", "")
    version = Version(known.address, _find_validator(response), int(length) if length.isdecimal() else None)
    if response.status_code == 200:
        kind = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        if kind in WEB_PAGE and not re.search("[.]html?$", urlsplit(known.address).path):
            raise RefusedAddressError(
                f"data.source {hide_secrets(known.address)} is a web page ({kind}), not a file: "
                f"give the direct link, the one a browser saves instead of showing, or {ELSEWHERE}",
                f"it is a web page ({kind}), not a file",
            )
        return Answer(version, 0, _read_chunks(response))
    ranges = response.headers.get("Content-Range", "")
    if known.validator and response.status_code == 206:
        size = r"(\d+|[*])" if known.size is None else known.size
        if re.fullmatch(rf"bytes {begin}-\d+/{size}", ranges) and version.validator in {None, known.validator}:
            return Answer(known, begin, _read_chunks(response))
        raise TryAgainError(
            f"asked for bytes from {begin:,} on and got {ranges or 'bytes unnamed'!r}", from_start=True
        )
    if known.validator and response.status_code == 416:
        # Nothing lies behind what is there: it is whole, if the server still says so.
        if begin == known.size and ranges == f"bytes */{begin}":
            return Answer(known, begin, iter(()))
        raise TryAgainError(f"{status}, where {begin:,} bytes had come", from_start=True)
    if response.status_code in TRANSIENT or response.status_code >= 500:
        raise TryAgainError(status)
    raise make_refusal(known.address, status)


def _read_chunks(response: requests.Response) -> Iterator[bytes]:
    try:
        yield from response.raw.stream(CHUNK, decode_content=False)
    except urllib3.exceptions.HTTPError as error:
        raise TryAgainError(describe_cause(error)) from error


def _find_validator(response: requests.Response) -> str | None:
    """Return what `If-Range` takes: a strong ETag or a date (RFC 9110, 13.1.5)."""
    tag = response.headers.get("ETag")
    return tag if tag and not tag.startswith("W/") else response.headers.get("Last-Modified")
