"""One folder a class below others that are none, such as animals/cat: the innermost folders that differ."""

from unfreeze.sources.folder_classes import read_classes
from unfreeze.sources.inventory import Listing
from unfreeze.sources.layout import Layout, Reading, register


def read(listing: Listing) -> Layout | None:
    """Take the innermost folders for classes, where they are not the outermost."""
    return read_classes(listing, "nested class folders", lambda levels: levels[-1] if len(levels) > 1 else None)


register(Reading("nested class folders", read))
