"""Writing of Matplotlib figures as PNG files."""

from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from unfreeze import files

DPI = 110
# zlib's default level takes four times as long, for a photograph 8 % smaller.
COMPRESSION = 2


def save(figure: Figure, path: Path) -> None:
    """Write a figure as PNG; the same figure gives the same bytes."""
    with files.atomic(path) as partial:
        # Matplotlib's name and version would make the bytes depend on its version.
        figure.savefig(partial, dpi=DPI, metadata={"Software": None}, pil_kwargs={"compress_level": COMPRESSION})
    plt.close(figure)
