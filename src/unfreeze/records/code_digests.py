"""The digest of each stage's code, computed once for each state of the code."""

import hashlib
from contextlib import suppress
from pathlib import Path

from unfreeze import files
from unfreeze.errors import UnfreezeError
from unfreeze.paths import Paths
from unfreeze.records.code import OWN_BACKBONES, PLUGINS, Source
from unfreeze.records.module import PACKAGE

# All that a digest can depend on.
PATTERNS = (
    f"src/{PACKAGE}/**/*.py",
    f"src/{PACKAGE}/templates/**/*.j2",
    f"{PLUGINS}/**/*.py",
    f"{OWN_BACKBONES}/*.yaml",
)


def find_digests(paths: Paths) -> dict[str, str]:
    """Return the digest of every stage, by name.

    Every stage asks for them, and computing them takes a second or two of a processor: as long as no file of the
    code has another byte, those that were computed last are the answer.

    Args:
        paths: The checkout.
    """
    state = _hash_files(paths.root)
    with suppress(OSError, UnfreezeError, KeyError, TypeError):
        known = files.read_json(paths.known_code)
        if known["files"] == state:
            return dict(known["digests"])
    digests = Source(paths.root).compute_digests()
    # Where nothing can be kept, they are computed again.
    with suppress(OSError):
        paths.known_code.parent.mkdir(parents=True, exist_ok=True)
        files.write_json(paths.known_code, {"files": state, "digests": digests})
    return digests


def write_digests(paths: Paths) -> None:
    """Write code/<stage>.txt for every stage.

    Args:
        paths: The checkout.
    """
    with files.atomic(paths.code) as folder:
        folder.mkdir()
        for stage, digest in find_digests(paths).items():
            files.write_text(folder / f"{stage}.txt", f"{digest}\n")


def _hash_files(root: Path) -> str:
    """Return one SHA-256 of all files of the code, with their names."""
    digest = hashlib.sha256()
    for path in sorted(path for pattern in PATTERNS for path in root.glob(pattern)):
        digest.update(f"{path.relative_to(root).as_posix()}\0{files.hash_file(path)}\0".encode())
    return digest.hexdigest()
