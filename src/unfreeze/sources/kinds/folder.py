"""Images in a folder on this machine or in a store such as S3."""

from pathlib import Path

from unfreeze.errors import UnfreezeError
from unfreeze.settings.sources import FolderSource
from unfreeze.sources import addresses, fetch
from unfreeze.sources.kind import Brought, Kind, Workplace, register


def check(source: FolderSource) -> None:
    """Refuse a local folder that is not there, and an address that cannot be used.

    Raises:
        UnfreezeError: Names the path or the address and what to do.
    """
    if addresses.is_remote(source.source):
        addresses.check_folder_address(source.source)
        return
    path = Path(source.source).expanduser()
    if not path.is_dir():
        problem = "is no folder" if path.exists() else "does not exist"
        raise UnfreezeError(
            f"data.source {source.source} {problem}: give the folder that holds one folder a class or the table "
            "data.labels.file, -S data=folder -S data.source=PATH"
        )


def bring(source: FolderSource, place: Workplace) -> Brought:
    """Return the local folder as it is, or download the remote one."""
    if not addresses.is_remote(source.source):
        return Brought(Path(source.source).expanduser(), None)
    folder, digest = fetch.download_folder(source.source, place.downloads)
    place.require_recorded(addresses.hide_secrets(source.source), digest, "delete metrics/download.json")
    return Brought(folder, digest)


register(Kind(FolderSource, check, bring))
