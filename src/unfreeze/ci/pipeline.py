"""DVC for a retraining: what would run, what git holds of the results, and bringing and sending the rest."""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import yaml

from unfreeze.errors import UnfreezeError
from unfreeze.records.code import CODE_STAGE
from unfreeze.runtime.redaction import redacted

# A stage needs no right to write to the repository, and code that trains should not have it.
WITHHELD = ("GITHUB_TOKEN",)


def require_lock(lock: Path) -> None:
    """Find out before the work whether dvc.lock can be read.

    Args:
        lock: The file; where it is missing every stage runs.

    Raises:
        UnfreezeError: It holds the marks of a merge conflict, or is no YAML.
    """
    if not lock.exists():
        return
    text = lock.read_text(encoding="utf-8")
    for number, line in enumerate(text.splitlines(), start=1):
        if line.startswith(("<<<<<<<", ">>>>>>>")):
            raise UnfreezeError(
                f"dvc.lock has a merge conflict at line {number}: take either side "
                "(`git checkout --theirs dvc.lock`), run `dvc repro` and commit the lock it writes"
            )
    try:
        yaml.safe_load(text)
    except yaml.YAMLError as error:
        told = " ".join(str(error).split())
        raise UnfreezeError(f"dvc.lock is no YAML ({told}): `git checkout dvc.lock`, then `dvc repro`") from error


def would_run(root: Path) -> list[str]:
    """Return the stages that `dvc repro` would begin with; what follows on them is not told.

    The digests of the code in `code/` must be those of the source at hand. The stage that writes them is not named:
    an edit that changes no digest retrains nothing.

    A file that is missing here is no reason where the lock knows its digest. That is what `dvc repro --dry
    --allow-missing` answers, which ends with an error where a stage has changed whose dependencies are missing.
    """
    with _repository(root) as repo, repo.lock:
        graph = repo.index.graph
        return [
            stage.addressing
            for stage in repo.index.stages
            if stage.addressing != CODE_STAGE
            and stage.changed(allow_missing=True, upstream=list(graph.successors(stage)))
        ]


def is_complete(root: Path) -> bool:
    """Tell whether every output is here as the lock has it."""
    with _repository(root) as repo, repo.lock:
        return not any(stage.changed() for stage in repo.index.stages)


def held_by_git(root: Path) -> list[str]:
    """Return the outputs of the pipeline that git holds, relative to the root."""
    with _repository(root) as repo:
        return [os.path.relpath(out.fs_path, root) for out in repo.index.outs if not out.use_cache]


def remote(root: Path) -> str | None:
    """Return the name of the DVC remote, found to answer; None where none is set.

    Raises:
        UnfreezeError: It does not answer, refuses the credentials, or its package is missing.
    """
    with _repository(root) as repo:
        name = repo.config["core"].get("remote")
        if not name:
            return None
        try:
            found = repo.cloud.get_remote()
            # To ask whether a file is there is answered with no by some that are out of reach; to read it is not.
            with suppress(FileNotFoundError):
                found.fs.cat_file(found.fs.join(found.path, "unfreeze"))
        # Every kind of remote has exceptions of its own.
        except Exception as error:
            told = redacted(" ".join(str(error).split()) or type(error).__name__)
            raise UnfreezeError(
                f"DVC remote {name!r} does not answer ({told}): check its address (`dvc remote list`), its "
                "package and its credentials"
            ) from error
        return str(name)


def pull(root: Path) -> None:
    """Bring all the remote has of the lock, and of earlier runs; what it lacks is made again."""
    _dvc(root, "pull", "--run-cache", "--allow-missing", "--force")


def checkout(root: Path) -> None:
    """Bring all the cache has of the lock; what it lacks is made again."""
    _dvc(root, "checkout", "--allow-missing", "--force")


def reproduce(root: Path, *options: str, environment: Mapping[str, str] | None = None) -> None:
    """Run the pipeline; its stages tell what they do.

    Args:
        root: The checkout.
        *options: Further options of `dvc repro`.
        environment: Variables its stages see besides those of this process.

    Raises:
        UnfreezeError: A stage failed.
    """
    _dvc(root, "repro", *options, environment=environment)


def labelled(root: Path, label: str) -> set[str]:
    """Return the outputs that carry a label in dvc.yaml, relative to the root."""
    with _repository(root) as repo:
        return {
            os.path.relpath(out.fs_path, root)
            for out in repo.index.outs
            if label in ((out.annot and out.annot.labels) or [])
        }


def pull_inputs(root: Path) -> None:
    """Bring the files that no stage makes: those DVC tracks by a file of their own."""
    with _repository(root) as repo:
        inputs = [out.fs_path for stage in repo.index.stages if stage.is_data_source for out in stage.outs]
    if inputs:
        _dvc(root, "pull", *inputs)


def push(root: Path) -> None:
    """Send all of the lock, and of the runs that led to it, to the remote."""
    _dvc(root, "push", "--run-cache")


@contextmanager
def _repository(root: Path) -> Iterator[Any]:
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    try:
        with Repo(str(root)) as repo:
            yield repo
    except DvcException as error:
        told = redacted(" ".join(str(error).split()))
        raise UnfreezeError(f"DVC cannot read the pipeline ({told}): mend it until `dvc status` works") from error


def _dvc(root: Path, *arguments: str, environment: Mapping[str, str] | None = None) -> None:
    inherited = {name: value for name, value in os.environ.items() if name not in WITHHELD}
    # Stages look for their programs on the PATH where the checkout has no environment of its own.
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    done = subprocess.run(
        [sys.executable, "-m", "dvc", *arguments],
        cwd=root,
        env={**inherited, "PATH": path, **(environment or {})},
        # Standard output belongs to the result of the command that calls this.
        stdout=sys.stderr,
        check=False,
    )
    if done.returncode:
        raise UnfreezeError(
            f"dvc {arguments[0]} ended with status {done.returncode}, its reason stands above: mend it and run this "
            "again; what was done is kept"
        )
