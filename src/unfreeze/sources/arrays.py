"""Arrays of images with labels, such as .npz files."""

from pathlib import Path


def is_array_source(path: Path) -> bool:
    """Tell whether a file or folder holds images as arrays; none is known yet."""
    return False


def write_images(path: Path, target: Path) -> None:
    """Write the images of arrays into one folder a class, below one a fold where folds are given.

    Args:
        path: The file or folder.
        target: The folder to be filled.
    """
    raise NotImplementedError
