"""Addresses of remote sources: which can be used, and how messages show them without secrets."""

import re

import fsspec

from unfreeze.errors import UnfreezeError, shorten

HTTP = {"http", "https"}
S3 = {"s3", "s3a"}
CLUSTER = ", or the extra `cluster` with `make cluster`, which holds it"

# A user and a password before the host; what is only digits up to the path is a port.
PASSWORD = re.compile(r"://[^/?#@\[\]]*:(?!\d*(?:[/?#]|$)).*@|(?:(?<=http)|(?<=https))://[^/?#@]+@")
ELSEWHERE = "download it elsewhere, unpack it and use -S data=folder -S data.source=PATH"


class RefusedAddressError(UnfreezeError):
    """A file at an address that another try will not bring.

    Args:
        message: The whole line, for a source of the study.
        reason: What the server, or the package for its protocol, said.
    """

    def __init__(self, message: str, reason: str) -> None:
        super().__init__(message)
        self.reason = reason


def is_remote(source: str) -> bool:
    """Tell whether a source is an address, not a path.

    >>> is_remote("s3://bucket/pets"), is_remote("~/pets")
    (True, False)
    """
    return "://" in source


def find_protocol(address: str) -> str:
    """Return the protocol of an address in lower case; the last one of a chain.

    >>> find_protocol("HTTPS://example.org/pets.zip")
    'https'
    """
    return address.partition("://")[0].rpartition("::")[2].lower()


def hide_secrets(text: str) -> str:
    """Return a text for messages without the secrets that addresses in it may hold: passwords and queries.

    >>> hide_secrets("https://me:secret@example.org/pets.zip?signature=1")
    'https://***@example.org/pets.zip?...'
    """
    text = PASSWORD.sub("://***@", text)
    return re.sub(r"\?[^\s'\")]+", "?...", text)


def check_address(address: str) -> None:
    """Refuse an address that holds a password or whose protocol cannot be used here, before anything is fetched.

    Raises:
        UnfreezeError: Names what to do; the password is not shown.
    """
    if PASSWORD.search(address):
        raise UnfreezeError(
            f"data.source {hide_secrets(address)} holds a password; take it out, and give it through the environment "
            "(~/.netrc for http, otherwise the variables of the protocol's package, such as AWS_SECRET_ACCESS_KEY)"
        )
    protocol = find_protocol(address)
    if protocol in HTTP:
        return
    try:
        fsspec.get_filesystem_class(protocol)
    except ValueError as error:
        raise UnfreezeError(
            f"data.source {hide_secrets(address)} has the unknown protocol {protocol!r}: use one that fsspec knows, "
            "such as https, s3, gs, az or webdav"
        ) from error
    except ImportError as error:
        raise UnfreezeError(
            f"data.source {hide_secrets(address)} needs a package that is not installed ({error}): "
            f"install it with `.venv/bin/pip install`{CLUSTER if protocol in S3 else ''}"
        ) from error


def check_folder_address(address: str) -> None:
    """Refuse an address of a folder that cannot be used, before anything is fetched.

    Raises:
        UnfreezeError: As `check_address`, or the address is one of the web, where folders cannot be listed.
    """
    check_address(address)
    if find_protocol(address) in HTTP:
        raise UnfreezeError(
            f"data.source {hide_secrets(address)} is no folder that can be listed, since http knows none: give the "
            f"address of an archive with -S data=archive, or {ELSEWHERE}"
        )


def make_refusal(address: str, reason: str) -> RefusedAddressError:
    """Return the error for a file that another try will not bring.

    Args:
        address: Where the file should come from.
        reason: What the server, or the package for its protocol, said.
    """
    return RefusedAddressError(
        f"data.source {hide_secrets(address)} could not be fetched ({reason}): check the address and, if it "
        f"needs a login, the credentials in the environment, or {ELSEWHERE}",
        reason,
    )


def describe_cause(error: BaseException) -> str:
    """Return the message of the first cause of an error of requests or urllib3, which is the shortest."""
    while inner := error.__cause__ or error.__context__:
        error = inner
    return describe_error(error)


def describe_error(error: BaseException) -> str:
    """Return an error's message as a part of one line, without secrets."""
    return shorten(error, hide=hide_secrets)
