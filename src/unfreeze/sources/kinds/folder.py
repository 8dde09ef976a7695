"""Images in a folder or a file on this machine, or in a folder of a store such as S3."""

from pathlib import Path

from unfreeze import files
from unfreeze.errors import UnfreezeError
from unfreeze.settings.sources import FolderSource
from unfreeze.sources import addresses, archives, arrays, fetch
from unfreeze.sources.file_types import ARCHIVES, get_suffix
from unfreeze.sources.kind import Brought, Kind, Workplace, register
from unfreeze.sources.messages import refuse_to_stay
from unfreeze.sources.table_files import PARQUET


def check(source: FolderSource) -> None:
    """Refuse a local folder or file that is not there, and an address that cannot be used.

    Raises:
        UnfreezeError: Names the path or the address and what to do.
    """
    path = Path(source.source).expanduser()
    if source.in_place and ("::" in source.source or path.is_file()):
        refuse_to_stay(source.source, "no folder")
    if addresses.is_remote(source.source):
        addresses.check_folder_address(source.source)
        return
    if path.is_dir() or (path.is_file() and (_is_archive(path) or _holds_images(path))):
        return
    problem = "is no folder" if path.exists() else "does not exist"
    raise UnfreezeError(
        f"data.source {source.source} {problem}: give the folder that holds one folder a class or the table of "
        "labels, -S data=folder -S data.source=PATH; `unfreeze inspect PATH` shows how it is read"
    )


def bring(source: FolderSource, place: Workplace) -> Brought:
    """Return the local folder as it is, unpack an archive, or download a remote folder."""
    if addresses.is_remote(source.source):
        folder, digest = fetch.download_folder(source.source, place.downloads)
        place.require_recorded(addresses.hide_secrets(source.source), digest, "delete metrics/download.json")
        return Brought(folder, digest)
    path = Path(source.source).expanduser()
    if path.is_file() and _is_archive(path):
        archives.unpack(path, place.unpacked, name=f"data.source {source.source}")
        return Brought(place.unpacked, files.hash_file(path))
    return Brought(path, None)


def _is_archive(path: Path) -> bool:
    return get_suffix(path.name) in ARCHIVES


def _holds_images(path: Path) -> bool:
    return get_suffix(path.name) in PARQUET or arrays.is_array_source(path)


register(Kind(FolderSource, check, bring))
