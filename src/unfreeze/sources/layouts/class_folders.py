"""One folder a class, named after it: the outermost folders that differ."""

from unfreeze.sources.folder_classes import read_classes
from unfreeze.sources.inventory import Listing
from unfreeze.sources.layout import Layout, Reading, register


def read(listing: Listing) -> Layout | None:
    """Take the outermost folders for classes; what lies in folders inside of them belongs to them."""
    return read_classes(listing, "class folders", lambda levels: levels[0] if levels else None)


register(Reading("class folders", read))
