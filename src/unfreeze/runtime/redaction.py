"""Taking passwords and tokens out of what is logged, shown or kept."""

import json
import os
import re
from collections.abc import Iterator
from urllib.parse import quote, unquote

HIDDEN = "***"

# Names of variables, parameters and fields whose values are secrets; a signature stands for a signed address.
_NAME = (
    r"(?:pass(?:word|wd|phrase)|pwd|secret|token|signature|credentials?"
    r"|(?:api|access|account|private|secret)_?-?key(?:_?id)?)"
)
_OF_ENVIRONMENT = re.compile(rf"{_NAME}(?:$|_)", re.IGNORECASE)
# Settings of tools whose names look like secrets: HF_HUB_DISABLE_IMPLICIT_TOKEN=true.
_PLAIN = {"true", "false", "none", "null", "yes"}
# The shell's folders.
_FOLDERS = {"PWD", "OLDPWD"}
# Shorter values would take parts of ordinary words away.
_SHORTEST = 4

# A password may hold @ and /; what follows a colon is a port, not a password, if it is a number and a slash.
_USER = re.compile(r"(?<=://)(?:[^\s/?#@:\"'<>]*:(?!\d+[/?#])[^\s\"'<>]*@|[^\s/?#\"'<>]*@)")
_VALUE = r"(?:\"[^\"]*\"|'[^']*'|[^\s&;,\"')<>}]+)"
_PAIR = re.compile(rf"((?<![a-z0-9])[\w.%-]*{_NAME}[\"']?\s?[=:]\s?){_VALUE}", re.IGNORECASE)
# Too short for names to be known by anywhere but in the query of an address.
_QUERY = re.compile(r"([?&;](?:sig|key|auth|code)=)[^\s&;\"'<>]+", re.IGNORECASE)
_HEADER = re.compile(r"(authorization[\"']?\s*[:=]\s*[\"']?(?:bearer|basic|token)\s+)[^\s\"',]+", re.IGNORECASE)


def redact(text: str) -> str:
    """Return a text without the secrets in it.

    Taken out are users and passwords in addresses, values named as passwords, tokens, keys or signatures, headers of
    authorization, and the values of environment variables that are named so, wherever they stand.

    Args:
        text: A line, an address, a file's content.

    >>> redact("postgresql://ada:secret@db.example.org/runs?token=abc")
    'postgresql://db.example.org/runs?token=***'
    """
    text = _HEADER.sub(rf"\1{HIDDEN}", text)
    text = _USER.sub("", text)
    text = _PAIR.sub(rf"\1{HIDDEN}", text)
    text = _QUERY.sub(rf"\1{HIDDEN}", text)
    # Long ones first: one may be part of another.
    for secret in sorted(set(_list_secrets()), key=len, reverse=True):
        text = text.replace(secret, HIDDEN)
    return text


def _list_secrets() -> Iterator[str]:
    """Yield the secrets in the environment, as they are and as addresses and JSON spell them."""
    for name, value in os.environ.items():
        found = [value] if _OF_ENVIRONMENT.search(name) and name not in _FOLDERS else []
        found += [user.partition(":")[2].removesuffix("@") for user in _USER.findall(value)]
        for secret in found:
            if len(secret) >= _SHORTEST and secret.lower() not in _PLAIN:
                yield from (secret, quote(secret), quote(secret, safe=""), unquote(secret), json.dumps(secret)[1:-1])
