"""Names in zip archives that do not say how they are encoded.

A flag of an entry says that its name is UTF-8 (APPNOTE 4.4.4, bit 11). Without it the name should be in code page
437, and is in fact in that of the machine that wrote it: Windows' Explorer in Japan writes Shift-JIS. The code page
is taken in which the names read well: as words of one script, with capitals where words have them. Where names read
well in two code pages the archive is refused until the user says which.
"""

import unicodedata
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

# What programs write that do not set the flag: the code pages of DOS and Windows by region.
CODE_PAGES = ("cp437", "cp850", "cp866", "cp932", "gb2312", "euc_kr", "big5")
STANDARD = "cp437"
UTF8_FLAG = 0x800
# Info-ZIP's field of a name in UTF-8 (APPNOTE 4.6.9): version 1, the CRC of the other name, the name.
UNICODE_PATH = 0x7075
EAST_ASIAN = ("CJK", "HIRAGANA", "KATAKANA", "HANGUL")
EXAMPLES = 3


class AmbiguousNamesError(Exception):
    """Names that read as well in one code page as in another."""


def read_names(entries: Sequence[zipfile.ZipInfo], code_page: str | None) -> tuple[list[str], str | None]:
    """Return the names of all entries of a zip archive.

    Args:
        entries: What zipfile has read, with names that it took for code page 437 where the flag is not set.
        code_page: Encoding of names without the flag; None to find it out.

    Returns:
        The names, and a sentence for people where names were read in a code page that nothing states; else None.

    Raises:
        AmbiguousNamesError: Two code pages give good names; the message holds both readings.
    """
    stated = [_read_stated_name(entry) for entry in entries]
    raw = [entry.orig_filename.encode("cp437") for entry, name in zip(entries, stated, strict=True) if name is None]
    odd = sorted({name for name in raw if not name.isascii()})
    chosen = code_page or _choose_code_page(odd)
    decoded = iter([_decode(name, chosen) for name in raw])
    names = [next(decoded) if name is None else name for name in stated]
    if not odd or code_page is not None or chosen == "utf-8":
        return names, None
    return names, f"names do not say how they are encoded, and were read as {chosen} ({_show(odd, chosen)})"


def _read_stated_name(entry: zipfile.ZipInfo) -> str | None:
    """Return a name of which the entry says how it is encoded; None where it does not."""
    if entry.flag_bits & UTF8_FLAG:
        return entry.orig_filename
    raw = entry.orig_filename.encode("cp437")
    for kind, data in _iterate_extra_fields(entry.extra):
        if kind == UNICODE_PATH and data[:1] == b"\1" and int.from_bytes(data[1:5], "little") == zlib.crc32(raw):
            return data[5:].decode(errors="surrogateescape")
    return None


def _iterate_extra_fields(extra: bytes) -> Iterator[tuple[int, bytes]]:
    while len(extra) >= 4:
        kind, size = int.from_bytes(extra[:2], "little"), int.from_bytes(extra[2:4], "little")
        yield kind, extra[4 : 4 + size]
        extra = extra[4 + size :]


def _choose_code_page(names: Sequence[bytes]) -> str:
    """Return the code page in which all names read well."""
    if not names or _decodes(names, "utf-8"):
        return "utf-8"
    good: dict[tuple[str, ...], str] = {}
    for page in CODE_PAGES:
        if _decodes(names, page):
            decoded = tuple(name.decode(page) for name in names)
            if all(map(is_well_read, decoded)):
                # Code pages that agree on these names are one reading.
                good.setdefault(decoded, page)
    if len(good) > 1:
        readings = ", ".join(f"{page} ({_show(names, page)})" for page in good.values())
        raise AmbiguousNamesError(f"its names do not say how they are encoded, and may be {readings}")
    return next(iter(good.values()), STANDARD)


def is_well_read(name: str) -> bool:
    """Tell whether a name is made of words as people write them.

    >>> [is_well_read(name) for name in ("Übung/Größe 1.jpg", "öL/1.jpg", "猫/1.jpg", "кот.jpg", "├¿.jpg", "ФL.jpg")]
    [True, False, True, True, False, False]
    """
    if any(unicodedata.category(character)[0] not in "LMN" for character in name if not character.isascii()):
        return False
    words = ["".join(run) for is_word, run in groupby(name, str.isalpha) if is_word]
    return all(word.isascii() or _is_word(word) for word in words)


def _is_word(word: str) -> bool:
    scripts = {_find_script(character) for character in word}
    if len(scripts) > 1:
        return False
    # Katakana of half width was for machines that had no other, and is what other code pages look like in Shift-JIS.
    if scripts == {"HALFWIDTH"} or (scripts == {"LATIN"} and not any(map(str.isascii, word))):
        return False
    return scripts == {"EAST ASIAN"} or word in (word.lower(), word.upper(), word.capitalize())


def _find_script(character: str) -> str:
    script = unicodedata.name(character, "UNKNOWN").split(" ")[0].split("-")[0]
    return "EAST ASIAN" if script in EAST_ASIAN else script


def _decodes(names: Iterable[bytes], page: str) -> bool:
    try:
        for name in names:
            name.decode(page)
    except UnicodeDecodeError:
        return False
    return True


def _decode(name: bytes, page: str) -> str:
    return name.decode(page, errors="surrogateescape")


def _show(names: Sequence[bytes], page: str) -> str:
    return ", ".join(repr(name.decode(page)) for name in names[:EXAMPLES])
