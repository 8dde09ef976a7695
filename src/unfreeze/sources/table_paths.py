"""Which file each path of a table means: paths may lack a folder or a suffix, or differ in case or form."""

import functools
import posixpath
import re
import unicodedata
from collections import defaultdict
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from unfreeze.sources.file_types import IMAGES, get_suffix
from unfreeze.sources.fold_words import find_fold

# Rows from which ways to complete a path are learnt, and ways that are tried.
SAMPLE = 30
MOST_WAYS = 200
# How an address and an absolute path of Windows begin.
ADDRESS = re.compile(r"[a-z][a-z0-9+.-]+://", re.IGNORECASE)
DRIVE = re.compile(r"^[A-Za-z]:(?=[\\/])")


@dataclass(frozen=True)
class Match:
    """What the paths of a table mean.

    Args:
        files: Path of each row's file, from the source's own folder; None where there is none.
        template: What a path becomes, with `{}` for the path as it is; "{}" if nothing is added.
        dropped: Number of leading parts of each path that are no folders of the source.
        others: Another template that fits as many rows and gives other files; empty if there is none.
    """

    files: tuple[str | None, ...]
    template: str
    dropped: int = 0
    others: str = ""

    @property
    def found(self) -> int:
        """Number of rows with a file."""
        return sum(file is not None for file in self.files)


@dataclass(frozen=True)
class FileNames:
    """Files by what a path may leave out of their names.

    Args:
        exact: All paths.
        whole: Paths by their form without case.
        stems: Paths by that form without suffix.
        names: Paths by the last part of `whole`.
        name_stems: Paths by the last part of `stems`.
    """

    exact: frozenset[str]
    whole: dict[str, list[str]]
    stems: dict[str, list[str]]
    names: dict[str, list[str]]
    name_stems: dict[str, list[str]]


@functools.lru_cache(maxsize=4)
def index_files(paths: tuple[str, ...]) -> FileNames:
    """Return files by all forms in which tables name them."""
    whole, stems, names, name_stems = (defaultdict[str, list[str]](list) for _ in range(4))
    for path in paths:
        key = fold_path(path)
        stem = _cut_suffix(key)
        whole[key].append(path)
        stems[stem].append(path)
        names[key.rpartition("/")[2]].append(path)
        name_stems[stem.rpartition("/")[2]].append(path)
    return FileNames(frozenset(paths), whole, stems, names, name_stems)


def fold_path(path: str) -> str:
    """Return a path without case and in one Unicode form."""
    return unicodedata.normalize("NFC", path).casefold()


def clean_path(text: str) -> str:
    r"""Return a path as a table means it, with `/`, from an address, an absolute path or one with `\`.

    >>> clean_path("https://host/set/a%20b.png?size=2"), clean_path("C:\\set\\a.png"), clean_path("./a.png")
    ('set/a b.png', 'set/a.png', 'a.png')
    """
    text = text.strip()
    if ADDRESS.match(text):
        text = unquote(urlsplit(text).path)
    text = DRIVE.sub("", text).replace("\\", "/")
    return posixpath.normpath(text).lstrip("/") if text else ""


def match_paths(texts: list[str], folder: str, paths: tuple[str, ...], fold: str | None = None) -> Match:
    """Find the file that each path of a table means.

    A path is taken from the table's folder or from the source's. If that gives no files, folders or a suffix are
    added, and leading folders dropped, in one way for all rows; or the file of that name is taken where there is one.

    Args:
        texts: Paths as the table has them.
        folder: The table's folder, from the source's own; empty for that one.
        paths: The files that may be meant.
        fold: The fold that the table is called after; folders called so are preferred.

    Returns:
        The way that finds most files.
    """
    files = index_files(paths)
    for base in dict.fromkeys((folder, "")):
        joined = [posixpath.normpath(posixpath.join(base, text.strip())) for text in texts]
        if all(path in files.exact for path in joined):
            return Match(tuple(joined), "{}")
    parts = [clean_path(text).split("/") for text in texts]
    ways = _learn_ways(parts, files)
    matches = [_apply(way, parts, files) for way in ways]
    best = max((match.found for match in matches), default=0)
    fitting = [match for match in matches if match.found == best]
    chosen = _prefer(fitting, folder, fold)
    by_name = Match(tuple(_take_only(_candidates(part[-1], files), part[-1]) for part in parts), "{}")
    if not chosen or by_name.found > best:
        return by_name
    differing = [match for match in fitting if match.files != chosen.files]
    if differing and _is_preferred(chosen, folder, fold):
        differing = []
    return Match(chosen.files, chosen.template, chosen.dropped, differing[0].template if differing else "")


def has_image_suffix(text: str) -> bool:
    """Tell whether a path names a file as an image."""
    return get_suffix(clean_path(text)) in IMAGES


def _learn_ways(parts: list[list[str]], files: FileNames) -> list[tuple[str, int]]:
    """Return folders to be put before, and numbers of leading parts to be dropped, as some rows need them."""
    ways: dict[tuple[str, int], None] = {}
    step = max(len(parts) // SAMPLE, 1)
    for row in parts[::step]:
        for path in _candidates(row[-1], files)[:MOST_WAYS]:
            *above, _ = path.split("/")
            common = 0
            while common < min(len(above), len(row) - 1) and fold_path(above[-1 - common]) == fold_path(
                row[-2 - common]
            ):
                common += 1
            ways["/".join(above[: len(above) - common]), len(row) - 1 - common] = None
        if len(ways) > MOST_WAYS:
            break
    return list(ways)


def _apply(way: tuple[str, int], parts: list[list[str]], files: FileNames) -> Match:
    prefix, dropped = way
    found: list[str | None] = []
    for row in parts:
        path = "/".join([*([prefix] if prefix else []), *row[dropped:]]) if len(row) > dropped else ""
        key = fold_path(path)
        candidates = files.whole.get(key) or files.stems.get(key) or []
        found.append(_take_only(candidates, path))
    return Match(tuple(found), f"{prefix}/{{}}" if prefix else "{}", dropped)


def _candidates(name: str, files: FileNames) -> list[str]:
    key = fold_path(name)
    return files.names.get(key) or files.name_stems.get(key) or []


def _take_only(candidates: list[str], path: str) -> str | None:
    """Return the one candidate, or the one of several that is spelled exactly so."""
    if len(candidates) == 1:
        return candidates[0]
    exact = [candidate for candidate in candidates if path in {candidate, candidate.rpartition("/")[2]}]
    return exact[0] if len(exact) == 1 else None


def _prefer(matches: list[Match], folder: str, fold: str | None) -> Match | None:
    preferred = [match for match in matches if _is_preferred(match, folder, fold)]
    return next(iter(preferred or matches), None)


def _is_preferred(match: Match, folder: str, fold: str | None) -> bool:
    prefix = match.template.removesuffix("{}").strip("/")
    if fold and any(find_fold(part) == fold for part in prefix.split("/")):
        return True
    return match.dropped == 0 and prefix == folder


def _cut_suffix(path: str) -> str:
    suffix = get_suffix(path)
    return path[: -len(suffix)] if suffix in IMAGES else path
