"""Bring the labelled images into data/raw and list them in data/raw_index.csv."""

from unfreeze import files
from unfreeze.console import log
from unfreeze.data import sources
from unfreeze.params import Params
from unfreeze.paths import Paths

PARAMS = ("data",)


def run(params: Params, paths: Paths) -> None:
    """Fetch the source; its folder appears only when every image is there."""
    with files.atomic(paths.raw) as folder:
        folder.mkdir()
        index = sources.collect(params.data, folder)
    files.write_csv(paths.raw_index, index)
    log.info("%d images of %d classes from %s", len(index), index["label"].nunique(), params.data.source)
