"""Images at addresses, fetched one at a time."""

import time
from pathlib import Path

from unfreeze import files
from unfreeze.errors import UnfreezeError
from unfreeze.sources import addresses
from unfreeze.sources.addresses import RefusedAddressError
from unfreeze.sources.answers import TryAgainError, Version
from unfreeze.sources.stores import open_stored_file
from unfreeze.sources.web import open_web_file

# Tries, and seconds before the second one; each further wait is twice as long.
TRIES = 3
FIRST_WAIT = 0.5
# Bytes of an image; the largest photographs have some hundred million.
LARGEST_IMAGE = 1_000_000_000


def fetch(address: str, target: Path, *, largest: int = LARGEST_IMAGE) -> str:
    """Fetch a file.

    Args:
        address: `http://`, `https://`, or any address that fsspec knows.
        target: The file to write.
        largest: Most bytes that it may have.

    Returns:
        Why it could not be fetched, without secrets; empty if it is there.

    Raises:
        OSError: There is no room for it.
    """
    try:
        addresses.check_address(address)
    except UnfreezeError as error:
        return str(error).removeprefix("data.source ")
    reason = ""
    for number in range(TRIES):
        if number:
            time.sleep(FIRST_WAIT * 2 ** (number - 1))
        try:
            return _try(address, target, largest)
        except TryAgainError as error:
            reason = f"could not be fetched ({error}, {TRIES} times)"
        except RefusedAddressError as error:
            return f"could not be fetched ({error.reason})"
    return reason


def _try(address: str, target: Path, largest: int) -> str:
    is_web = addresses.find_protocol(address) in addresses.HTTP
    start = Version(address, None, None)
    with (open_web_file if is_web else open_stored_file)(address, start, 0) as answer, target.open("wb") as stream:
        received = 0
        for chunk in answer.chunks:
            received += len(chunk)
            if received > largest:
                files.remove(target)
                return f"was not fetched (it has more than {largest:,} bytes)"
            stream.write(chunk)
    if answer.version.size not in {None, received}:
        raise TryAgainError(f"{received:,} of {answer.version.size:,} bytes came")
    return ""
