"""Where results come from: the commit, the lock, the data, the weights and the versions of what computed them."""

import platform
import subprocess
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

from unfreeze import files
from unfreeze.paths import Paths

# What decides about numbers.
LIBRARIES = (
    "keras",
    "tensorflow",
    "tensorflow-cpu",
    "openvino",
    "keras-tuner",
    "numpy",
    "scikit-learn",
    "dvc",
    "mlflow",
)


def git_commit(root: Path) -> str:
    """Return the commit of a checkout, or `none` outside git."""
    done = subprocess.run(["git", "rev-parse", "HEAD"], cwd=root, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "none"


def of_study(paths: Paths, backbones: Sequence[str]) -> dict[str, str]:
    """Return what determines a study's results, by the name that people are shown.

    Args:
        paths: The checkout.
        backbones: Whose weights to name.
    """
    weights = {name: files.read_json(paths.weights_record(name)) for name in backbones}
    return {
        "commit": git_commit(paths.root),
        "libraries' lock": files.sha256(paths.lock) if paths.lock.exists() else "none",
        "parameters": files.sha256(paths.params),
        "data": files.sha256(paths.manifest),
        **{f"weights of {name}": f"{record['source']}, {record['sha256']}" for name, record in weights.items()},
        "versions": ", ".join([f"Python {platform.python_version()}", *_versions()]),
    }


def _versions() -> list[str]:
    # TensorFlow comes under one name or the other; some distributions spell theirs with an underscore.
    installed = {distribution.name.replace("_", "-") for distribution in metadata.distributions()}
    return [f"{name} {metadata.version(name)}" for name in LIBRARIES if name in installed]
