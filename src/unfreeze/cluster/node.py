"""What a machine computes with, so that one that would give other bits is refused by name."""

import platform
import socket
import time
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import unfreeze
from unfreeze import files
from unfreeze.paths import Paths
from unfreeze.runtime.processor_kind import find_processor_kind

# Libraries whose versions decide about bits.
LIBRARIES = ("keras", "numpy", "openvino", "pillow", "ray", "tensorflow-cpu")
# Files of a checkout that decide about bits.
CODE = ("src/unfreeze/**/*.py", "plugins/**/*.py", "conf/backbones/*.yaml")
# Seconds that two clocks may lie apart: more, and dates of shards mislead whoever looks for a fault.
CLOCKS_APART = 300.0


@dataclass(frozen=True)
class Node:
    """A machine as it describes itself.

    Args:
        name: Its name in the network.
        code: Digest of the checkout's code.
        lock: SHA-256 of requirements.lock.
        versions: Python and the libraries that decide about bits.
        instruction_sets: Those of its processor that decide about bits.
        clock: Seconds since 1970.
    """

    name: str
    code: str
    lock: str
    versions: str
    instruction_sets: str
    clock: float


def find_checkout() -> Path:
    """Return the root of the checkout whose code runs here."""
    return Path(unfreeze.__file__).resolve().parents[2]


def digest_code() -> str:
    """Return one digest of all files of this checkout that hold code, whichever stage uses them."""
    root = find_checkout()
    paths = sorted(path for pattern in CODE for path in root.glob(pattern))
    return files.digest([[str(path.relative_to(root)), files.hash_file(path)] for path in paths])


def describe_node() -> Node:
    """Describe this machine, and the checkout whose code runs here."""
    paths = Paths(find_checkout())
    versions = [f"Python {platform.python_version()}", *(f"{name} {metadata.version(name)}" for name in LIBRARIES)]
    return Node(
        name=socket.gethostname(),
        code=digest_code(),
        lock=files.hash_file(paths.lock),
        versions=", ".join(versions),
        instruction_sets=", ".join(find_processor_kind().instruction_sets) or "none that is known",
        clock=time.time(),
    )


def find_differences(mine: Node, theirs: Node) -> list[str]:
    """Return what another machine would compute with other bits by, each with the remedy; none if nothing differs."""
    told = {
        "code": "another commit: check out this one there, or share the folder",
        "lock": "another requirements.lock: run `make install` there",
        "versions": f"{theirs.versions}, and here {mine.versions}: run `make install` there",
        "instruction_sets": f"a processor with {theirs.instruction_sets}, and here {mine.instruction_sets}: take "
        "machines of one kind",
    }
    found = [text for name, text in told.items() if getattr(mine, name) != getattr(theirs, name)]
    if abs(mine.clock - theirs.clock) > CLOCKS_APART:
        found.append(f"a clock that is {theirs.clock - mine.clock:+.0f} s off: set it, as by NTP")
    return found
