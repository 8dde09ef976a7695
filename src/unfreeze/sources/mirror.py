"""A folder at an address, shown on this machine: empty files stand for its images, so that its layout can be read."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from unfreeze.runtime import console
from unfreeze.runtime.remote_folder import THREADS, RemoteFolder
from unfreeze.sources.changes import Snapshot
from unfreeze.sources.file_types import IMAGES, MAGIC_BYTES, OTHERS, TABLES, get_suffix
from unfreeze.sources.messages import show_examples

# Tables of labels of ten million images are smaller; Parquet files that hold images are larger.
LARGEST_TABLE = 10**9


def write_mirror(remote: RemoteFolder, listed: Snapshot, folder: Path) -> None:
    """Write a file for each one at an address: tables whole, images empty.

    Args:
        remote: The folder at an address.
        listed: Its files.
        folder: An empty folder of this machine.

    Raises:
        UnfreezeError: A table cannot be read.
    """
    wanted: dict[str, int | None] = {}
    large = []
    for name, (size, _) in listed.files.items():
        suffix = get_suffix(name)
        if suffix in TABLES and size > LARGEST_TABLE:
            large.append(name)
            continue
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        if size and suffix in TABLES:
            wanted[name] = None
        elif size and suffix not in IMAGES | OTHERS:
            # Its first bytes say whether it is an image.
            wanted[name] = MAGIC_BYTES
    if large:
        console.log.warning("tables of more than 1 GB are not read: %s", show_examples(large))
    with ThreadPoolExecutor(THREADS) as pool:
        for name, content in zip(
            wanted, pool.map(lambda name: (remote / name).read_bytes(wanted[name]), wanted), strict=True
        ):
            (folder / name).write_bytes(content)
