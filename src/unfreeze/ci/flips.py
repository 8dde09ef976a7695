"""One picture of the images on which champion and challenger disagree."""

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib import pyplot as plt

from unfreeze import files, pictures, plots
from unfreeze.data import decoding
from unfreeze.paths import Paths

COLUMNS = 6
# Of those the challenger mends, and as many of those it spoils.
MOST = 12
SIDE = 128


def draw(flips: Sequence[Mapping[str, Any]], paths: Paths, *, most_pixels: int) -> None:
    """Write reports/flips.png: what the challenger spoils before what it mends; no file where they agree on all.

    Args:
        flips: Images of the test fold: id, label, champion, challenger (the classes they name) and whether the
            challenger is the better one.
        paths: The checkout with the images.
        most_pixels: Most pixels an image may have to be shown.
    """
    shown = [flip for better in (False, True) for flip in [flip for flip in flips if flip["better"] is better][:MOST]]
    if not shown:
        files.remove(paths.flips_picture)
        return
    rows = -(-len(shown) // COLUMNS)
    figure, axes = plt.subplots(
        rows, COLUMNS, figsize=(1.9 * COLUMNS, 2.3 * rows), layout="constrained", squeeze=False
    )
    for axis in axes.flat:
        axis.axis("off")
    for axis, flip in zip(axes.flat, shown, strict=False):
        image = decoding.open_image(paths.raw / flip["id"], max_pixels=most_pixels).rgb
        axis.imshow(pictures.pixels(pictures.jpeg(image, side=SIDE)))
        colour = "tab:green" if flip["better"] else "tab:red"
        what = "mended" if flip["better"] else "spoiled"
        told = f"{what}: is {flip['label']}\n{flip['champion']} → {flip['challenger']}"
        axis.set_title(told, fontsize=8, color=colour, parse_math=False)
    plots.save(figure, paths.flips_picture)
