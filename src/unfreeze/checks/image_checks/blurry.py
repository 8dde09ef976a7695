"""Blurred images."""

import numpy as np
import pandas as pd

from unfreeze.checks.image_check import ImageCheck, Images, Picture, register


def measure_sharpness(picture: Picture) -> float:
    """Return the variance of the Laplacian: low on blurred images (Pech-Pacheco et al. 2000)."""
    # Imported here: settings load this module, and OpenCV takes long to import.
    import cv2

    return float(cv2.Laplacian(np.asarray(picture.grey), cv2.CV_32F).var(dtype=np.float64))


def find_blurry(images: Images, threshold: float) -> pd.Series:
    """Find images that are not sharp."""
    return images.rows["sharpness"] < threshold


register(
    ImageCheck(
        name="blurry",
        level="warning",
        threshold=10,
        title="images are blurred",
        meaning="Sharpness, the variance of the Laplacian at 256 pixels, is below the threshold.",
        remedy="look at them, and remove those on which nothing can be seen",
        measures={"sharpness": measure_sharpness},
        find=find_blurry,
        detail="sharpness {sharpness:.1f}",
        worst_first="sharpness",
        order=5,
    )
)
