"""Where results come from: the commit, the lock, the data, the weights and the versions of what computed them."""

import platform
from collections.abc import Sequence
from importlib import metadata

from unfreeze import files, git
from unfreeze.paths import Paths
from unfreeze.runtime.redaction import redact

# What decides about numbers: in the checkout, and of what is installed.
DECIDING = ("src", "params.yaml", "dvc.yaml", "requirements.lock")
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


def describe_study(paths: Paths, backbones: Sequence[str]) -> dict[str, str]:
    """Return what determines a study's results, by the name that people are shown, without secrets.

    Args:
        paths: The checkout.
        backbones: Whose weights to name.
    """
    changed = git.list_changed(paths.root, *DECIDING)
    weights = {name: files.read_json(paths.weights_record(name)) for name in backbones}
    return {
        "commit": (git.find_commit(paths.root) or "none")
        + (f", with changes in {', '.join(changed)}" if changed else ""),
        "libraries' lock": files.hash_file(paths.lock) if paths.lock.exists() else "none",
        "parameters": files.hash_file(paths.params),
        "data": files.hash_file(paths.manifest),
        **{
            f"weights of {name}": f"{redact(record['source'])}, {record['sha256']}"
            for name, record in weights.items()
        },
        "versions": describe_environment(),
    }


def describe_environment() -> str:
    """Return the versions of Python and of the libraries that decide about numbers."""
    return ", ".join([f"Python {platform.python_version()}", *_list_versions()])


def _list_versions() -> list[str]:
    # TensorFlow comes under one name or the other; some distributions spell theirs with an underscore.
    installed = {distribution.name.replace("_", "-") for distribution in metadata.distributions()}
    return [f"{name} {metadata.version(name)}" for name in LIBRARIES if name in installed]
