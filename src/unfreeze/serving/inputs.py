"""Images to predict, wherever they come from: one after the other, in order, whatever their number."""

import glob
import os
import shutil
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from unfreeze import files
from unfreeze.errors import UnfreezeError
from unfreeze.serving import tables
from unfreeze.sources import archive_files
from unfreeze.sources.archive_readers import SUFFIXES as ARCHIVES
from unfreeze.sources.file_types import IMAGES, OTHERS, find_format, get_suffix, is_hidden

STANDARD_INPUT = "-"
READ = "files, folders, globs, archives (zip, tar), tables of paths (csv, tsv, txt), addresses, and - for paths"


@dataclass(frozen=True)
class Input:
    """An image to predict.

    Args:
        source: What rows call it: a path, one below an archive, an entry of a table, or an address without secrets.
        path: The file.
        address: Where it is fetched from first; empty if the file is there already.
        problem: Why there is no image; empty if nothing is known to be wrong.
        stamp: Size and time of change of the file or its archive, to notice a replaced one; empty if unknown.
        is_temporary: Whether the file is removed after use.
    """

    source: str
    path: Path
    address: str = ""
    problem: str = ""
    stamp: tuple[int, ...] = ()
    is_temporary: bool = False

    def fetch(self) -> str:
        """Fetch the file if it comes from an address and is not there; return what is wrong with it, if anything.

        Raises:
            OSError: There is no room for it.
        """
        if self.problem or not self.address or self.path.exists():
            return self.problem
        from unfreeze.serving import remote

        return remote.fetch(self.address, self.path)

    def discard(self) -> None:
        """Remove the file if it was made for this one use."""
        if self.is_temporary:
            files.remove(self.path)


def count_inputs(sources: list[str]) -> int | None:
    """Look at all sources before any work, and count their images.

    Args:
        sources: As the command takes them.

    Returns:
        The number; None where that shows only in the end, as with paths on standard input.

    Raises:
        UnfreezeError: A source does not exist, is refused or holds no image.
    """
    counts = [_count(source) for source in sources]
    return None if None in counts else sum(count or 0 for count in counts)


def open_inputs(sources: list[str], workplace: Path, standard_input: IO[bytes]) -> Iterator[Input]:
    """Yield the images of all sources, in the sources' order; folders by name.

    Args:
        sources: As the command takes them, after `count_inputs` has looked at them.
        workplace: An existing folder for files out of archives and from addresses.
        standard_input: Paths for the source `-`, parted by line ends or NUL.
    """
    for source in sources:
        if source == STANDARD_INPUT:
            yield from (_name(path, path, workplace) for path in tables.split_paths(standard_input))
        elif _is_address(source):
            yield from _open_address(source, workplace)
        else:
            for path in _expand(source):
                yield from _open_path(path, workplace)


def _count(source: str) -> int | None:
    if source == STANDARD_INPUT:
        return None
    if _is_address(source):
        from unfreeze.sources import addresses

        addresses.check_address(source)
        return None if _names_archive(source) else 1
    count = 0
    for path in _expand(source):
        if path.is_dir():
            count += sum(1 for _ in walk(path))
        elif _names_archive(path.name):
            count += sum(map(_is_wanted, archive_files.list_files(path, path.absolute().parent)))
        elif tables.is_table(path):
            count += sum(1 for _ in tables.read_paths(path))
        else:
            count += 1
    if not count:
        raise UnfreezeError(f"{source} holds no images: name {READ}")
    return count


def _expand(source: str) -> Iterator[Path]:
    """Yield the paths that a source on the command line means; those of a glob that are images or hold some.

    Raises:
        UnfreezeError: There is none.
    """
    path = Path(source).expanduser()
    if os.path.lexists(path):
        yield path
        return
    found = False
    if glob.has_magic(source):
        for name in sorted(glob.iglob(str(path), recursive=True)):  # noqa: PTH207 (takes absolute patterns)
            match = Path(name)
            # `**` names each folder and all that it holds.
            if (match.is_dir() and "**" not in source) or (match.is_file() and _is_image(match)):
                found = True
                yield match
    if not found:
        raise UnfreezeError(f"there is no {source}: name {READ} on standard input")


def _open_path(path: Path, workplace: Path) -> Iterator[Input]:
    if path.is_dir():
        yield from (_find(str(image), image) for image in walk(path))
    elif _names_archive(path.name):
        yield from _open_archive(path, str(path), workplace)
    elif tables.is_table(path):
        for entry in tables.read_paths(path):
            yield _name(entry, tables.resolve(entry, path.parent), workplace)
    else:
        yield _find(str(path), path)


def walk(folder: Path, above: tuple[str, ...] = ()) -> Iterator[Path]:
    """Yield the images below a folder, by name; through links, but not in circles.

    Args:
        folder: Where to begin.
        above: The real paths of folders that led here.

    Raises:
        UnfreezeError: A folder cannot be read.
    """
    real = os.path.realpath(folder)
    if real in above:
        return
    try:
        # Names take a quarter of the memory of paths, of which a folder may have a million.
        names = sorted(name for name in os.listdir(folder) if not is_hidden(name))  # noqa: PTH208
    except OSError as error:
        raise UnfreezeError(
            f"the folder {folder} could not be read ({error.strerror}): make it readable (`chmod u+rx`) or "
            "leave it out"
        ) from error
    for name in names:
        path = folder / name
        if path.is_dir():
            yield from walk(path, (*above, real))
        elif _is_image(path):
            yield path


def _is_image(path: Path) -> bool:
    suffix = get_suffix(path.name)
    return suffix in IMAGES or (suffix not in OTHERS and path.is_file() and find_format(path) is not None)


def _is_wanted(name: str) -> bool:
    """Tell whether a file of an archive may be an image: its name is all that is known before it is unpacked."""
    suffix = get_suffix(name)
    return not any(map(is_hidden, name.split("/"))) and (suffix in IMAGES or suffix not in OTHERS)


def _open_archive(archive: Path, name: str, workplace: Path, *, is_fetched: bool = False) -> Iterator[Input]:
    found = archive.stat()
    # When it was fetched says nothing of its age.
    stamp = (found.st_size, 0 if is_fetched else found.st_mtime_ns)
    for entry, extracted in archive_files.extract_files(archive, workplace, wanted=_is_wanted):
        source = f"{name}/{entry}"
        if isinstance(extracted, Path):
            yield Input(source, extracted, stamp=stamp, is_temporary=True)
        else:
            yield Input(source, workplace, problem=str(extracted), stamp=stamp)


def _open_address(address: str, workplace: Path) -> Iterator[Input]:
    from unfreeze.serving import remote
    from unfreeze.sources.addresses import hide_secrets

    if not _names_archive(address):
        yield _name(address, address, workplace)
        return
    fetched = workplace / "fetched"
    if problem := remote.fetch(address, fetched, largest=shutil.disk_usage(workplace).free):
        yield Input(hide_secrets(address), fetched, problem=problem)
        return
    yield from _open_archive(fetched, hide_secrets(address), workplace, is_fetched=True)
    files.remove(fetched)


def _name(shown: str, entry: str, workplace: Path) -> Input:
    """Return the image that a line or a table's entry names, which may be an address."""
    if not _is_address(entry):
        return _find(shown, Path(entry))
    from unfreeze.sources.addresses import hide_secrets

    target = workplace / f"fetched-{os.urandom(8).hex()}"
    return Input(hide_secrets(shown), target, address=entry, is_temporary=True)


def _find(source: str, path: Path) -> Input:
    try:
        found = path.stat()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        return Input(source, path, problem=f"the file could not be read ({reason})")
    # To open a pipe would wait for ever.
    if not stat.S_ISREG(found.st_mode):
        return Input(source, path, problem="it is a folder" if path.is_dir() else "it is no regular file")
    return Input(source, path, stamp=(found.st_size, found.st_mtime_ns))


def is_apart(source: str) -> bool:
    """Tell whether a source is an archive or an address, whose images only this machine has."""
    return _is_address(source) or _names_archive(source)


def _is_address(source: str) -> bool:
    return "://" in source


def _names_archive(name: str) -> bool:
    return ARCHIVES.search(name.partition("?")[0]) is not None
