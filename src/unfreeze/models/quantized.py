"""8-bit networks by post-training quantization: NNCF makes them from OpenVINO's, and OpenVINO runs them."""

import contextlib
import hashlib
import importlib.util
import logging
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np

from unfreeze.errors import UnfreezeError
from unfreeze.models.compiled import refuse_telemetry
from unfreeze.runtime.processor_kind import find_processor_kind

# With ranges from 100 images, linear probes on 8-bit features of cats and dogs have the accuracy of float32 to 0.2
# points (Xception, MobileNetV2). More images cost time, each three times that of a float32 extraction.
CALIBRATION_IMAGES = 100


def require_nncf() -> None:
    """Refuse 8 bits where the package that makes such networks is missing.

    Raises:
        UnfreezeError: It is not installed.
    """
    if not importlib.util.find_spec("nncf"):
        raise UnfreezeError(
            "extract.precision=int8 needs nncf, which is not installed: "
            "`.venv/bin/pip install --constraint requirements.lock '.[export]'`, or set extract.precision=float32"
        )


def choose_rows(train: np.ndarray) -> np.ndarray:
    """Return the rows that ranges are taken from, evenly spaced, so that every process takes the same ones.

    Args:
        train: Rows of the training fold, ascending.

    >>> choose_rows(np.arange(1000))[:3].tolist()
    [0, 10, 20]
    """
    count = min(len(train), CALIBRATION_IMAGES)
    chosen: np.ndarray = train[np.arange(count) * len(train) // count]
    return chosen


def quantize(network: Any, images: Sequence[np.ndarray]) -> Any:
    """Return a network with 8-bit weights and activations; the same images give the same bits.

    Args:
        network: OpenVINO's.
        images: What it takes, one image each: the ranges of its activations are those on these images.
    """
    refuse_telemetry()
    import nncf
    from nncf.quantization.advanced_parameters import AdvancedQuantizationParameters, OverflowFix

    # Without VNNI pairs of products are added up in 16 bits, which weights of 8 bits can overflow: activations of a
    # MobileNetV2 with random weights were off by a third on average, and by less than a tenth with weights of 7 bits.
    # With ImageNet's weights both were off by 0.3.
    fix = OverflowFix.FIRST_LAYER if find_processor_kind().has_vnni else OverflowFix.ENABLE
    # The logger alone: nncf.set_log_level also raises the level of each handler, those of others included.
    logging.getLogger("nncf").setLevel(logging.ERROR)
    # It shows its progress on standard output, where results are expected.
    with contextlib.redirect_stdout(sys.stderr):
        return nncf.quantize(
            network,
            nncf.Dataset(list(images)),
            subset_size=len(images),
            advanced_parameters=AdvancedQuantizationParameters(overflow_fix=fix),
        )


def digest(network: Any) -> str:
    """Return the SHA-256 of all numbers that a network of OpenVINO's holds: weights and ranges.

    Args:
        network: The network.
    """
    found = hashlib.sha256()
    for operation in network.get_ordered_ops():
        if operation.get_type_name() == "Constant":
            found.update(np.ascontiguousarray(operation.data).tobytes())
    return found.hexdigest()
