"""The files of an archive one after the other, without room for all of them at once."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from unfreeze import files
from unfreeze.errors import UnfreezeError
from unfreeze.sources.archive_readers import Entry, Tar, Zip, open_archive
from unfreeze.sources.archives import Budget, check_entries, explain_refusal, write_entry


def list_files(archive: Path, folder: Path) -> list[str]:
    """Return the names of the files in an archive, in its order.

    Args:
        archive: The archive, as `unpack` takes it.
        folder: An existing folder on the disk that it would be unpacked to.

    Raises:
        UnfreezeError: The archive is refused, as by `unpack`.
    """
    with _open_checked(archive, folder) as (_, entries):
        return [entry.name for entry in entries if not entry.is_folder]


def extract_files(
    archive: Path, folder: Path, *, wanted: Callable[[str], bool]
) -> Iterator[tuple[str, Path | UnfreezeError]]:
    """Yield the files of an archive one after the other, so that few of them need room at a time.

    All entries are looked at before the first is written, as by `unpack`; archives in it stay as they are.

    Args:
        archive: The archive, as `unpack` takes it.
        folder: An existing folder for the files; the caller removes each when it has no more use for it.
        wanted: Whether a file is needed, by its name.

    Yields:
        A file's name in the archive, and where it was written, or why it could not be read.

    Raises:
        UnfreezeError: The archive is refused, as by `unpack`.
    """
    with _open_checked(archive, folder) as (packed, entries):
        for number, entry in enumerate(entries):
            if entry.is_folder or not wanted(entry.name):
                continue
            target = folder / f"{number}"
            found: Path | UnfreezeError = target
            try:
                with explain_refusal("it", "use a sound copy"), packed.open(entry) as stream:
                    write_entry(stream, target, entry)
            except UnfreezeError as error:
                files.remove(target)
                found = error
            yield entry.name, found


@contextmanager
def _open_checked(archive: Path, folder: Path) -> Iterator[tuple[Zip | Tar, list[Entry]]]:
    """Yield an archive and its entries, all of which have been looked at."""
    budget = Budget(archive.stat().st_size, shutil.disk_usage(folder).free)
    remedy = "use a sound copy, or unpack it yourself and name the folder"
    with explain_refusal(str(archive), remedy):
        packed = open_archive(archive, folder / "any", code_page=None, most_bytes=budget.left)
        try:
            entries = check_entries(packed.entries(), budget)
        except BaseException:
            packed.close()
            raise
    try:
        yield packed, entries
    finally:
        packed.close()
