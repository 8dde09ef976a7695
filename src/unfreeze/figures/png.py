"""Writing of figures as PNG files."""

from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from unfreeze import files

DPI = 110
# zlib's own default takes four times as long, for a photograph 8 % smaller.
COMPRESSION = 2
# A legend of more hides the curves.
MOST_IN_LEGEND = 12


def plain(name: str) -> str:
    """Keep a legend from reading a name with dollars as a formula."""
    return name.replace("$", r"\$")


def save(figure: Figure, path: Path) -> None:
    """Write a picture so that its bytes depend on it alone."""
    with files.atomic(path) as partial:
        # Without the library's name and version the bytes depend on the picture alone.
        figure.savefig(partial, dpi=DPI, metadata={"Software": None}, pil_kwargs={"compress_level": COMPRESSION})
    plt.close(figure)
