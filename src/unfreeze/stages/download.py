"""Bring the labelled images into data/raw, or leave them where they are, and list them in data/raw_index.csv."""

from dataclasses import dataclass
from pathlib import Path

from unfreeze import files
from unfreeze.errors import UnfreezeError
from unfreeze.paths import Paths
from unfreeze.runtime.console import log
from unfreeze.settings.sources import DataSource, FolderSource
from unfreeze.sources import addresses, collect, in_place


@dataclass(frozen=True)
class Settings:
    """What the stage uses of params.yaml."""

    data: DataSource


def run(settings: Settings, paths: Paths) -> None:
    """Fetch the source; its folder appears only when every image is there.

    The digest that came first is kept in metrics/download.json, and a later one that differs is an error.
    """
    source = settings.data.source
    recorded = read_recorded_digest(paths.download_record, source)
    with files.atomic(paths.raw) as folder:
        folder.mkdir()
        if isinstance(settings.data, FolderSource) and settings.data.in_place:
            listed = in_place.list_images(settings.data, paths.digests(files.digest(source)))
            collected = listed.collected
            files.write_json(folder / paths.in_place.name, {"root": str(listed.root)})
        else:
            collected = collect.collect(settings.data, folder, downloads=paths.downloads, recorded=recorded)
    classes = collected.index["label"].nunique()
    files.write_csv(paths.raw_index, collected.index)
    files.write_json(
        paths.download_record,
        {
            # An address may hold a signature, which git need not know.
            "source": addresses.hide_secrets(source),
            "source_sha256": files.digest(source),
            "sha256": collected.sha256,
            "images": len(collected.index),
            "classes": classes,
            "bytes": collected.bytes,
        },
    )
    log.info("%d images of %d classes from %s", len(collected.index), classes, settings.data.name)


def read_recorded_digest(record: Path, source: str) -> str | None:
    """Return the digest that came from a source before; None if it was another source or there was none.

    Raises:
        UnfreezeError: The record cannot be read.
    """
    if not record.exists():
        return None
    try:
        before = files.read_json(record)
        return before["sha256"] if before["source_sha256"] == files.digest(source) else None
    except (KeyError, TypeError) as error:
        raise UnfreezeError(
            f"{record.parent.name}/{record.name} is no record of a download: delete it to accept what comes, or take "
            "the one that git has"
        ) from error
