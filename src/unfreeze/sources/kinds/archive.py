"""Images in a zip or tar archive, on this machine or at an address."""

from pathlib import Path

from unfreeze import files
from unfreeze.errors import UnfreezeError
from unfreeze.runtime import console
from unfreeze.settings.sources import ArchiveSource
from unfreeze.sources import addresses, archives, fetch
from unfreeze.sources.kind import Brought, Kind, Workplace, register


def check(source: ArchiveSource) -> None:
    """Refuse a local file that is not there, and an address that cannot be used.

    Raises:
        UnfreezeError: Names the path or the address and what to do.
    """
    if addresses.is_remote(source.source):
        addresses.check_address(source.source)
    elif not Path(source.source).expanduser().is_file():
        raise UnfreezeError(
            f"data.source {source.source} is no file: give the path or the address of a zip or tar archive"
        )


def bring(source: ArchiveSource, place: Workplace) -> Brought:
    """Fetch the archive if it is remote, compare its digest and unpack it."""
    name, is_remote = addresses.hide_secrets(source.source), addresses.is_remote(source.source)
    archive = place.downloads / "archive" if is_remote else Path(source.source).expanduser()
    if is_remote:
        console.log.info("fetching %s", name)
        digest = fetch.download(source.source, archive, sha256=source.sha256)
    else:
        digest = files.hash_file(archive)
        fetch.require_digest(source.source, digest, source.sha256)
    if source.sha256 is None:
        place.require_recorded(name, digest, f"set data.sha256={digest} or delete metrics/download.json")
    try:
        archives.unpack(archive, place.unpacked, name=f"data.source {name}", code_page=source.name_encoding)
    except UnfreezeError:
        # The next run cannot use it either.
        if is_remote:
            files.remove(place.downloads)
        raise
    return Brought(_find_contents(place.unpacked, source), digest)


def _find_contents(folder: Path, source: ArchiveSource) -> Path:
    """Return the folder that holds class folders or the table, below folders that hold nothing else."""
    top = archives.find_top(folder)
    if source.labels is not None:
        return folder if (folder / source.labels.file).exists() else top
    # One folder would be one class, and there are no sets of one. A class folder holds images, or folders of them.
    if source.class_folders != "*" or top == folder or not any(path.is_dir() for path in top.iterdir()):
        return folder
    console.log.info("the folder %s in it holds the class folders", top.relative_to(folder))
    return top


register(Kind(ArchiveSource, check, bring))
