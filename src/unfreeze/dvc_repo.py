"""All that is asked of DVC: the lock, what would run, and running, fetching and sending it."""

import json
import os
import runpy
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil

from unfreeze import files
from unfreeze.errors import UnfreezeError, shorten
from unfreeze.paths import Paths
from unfreeze.records.code import CODE_STAGE
from unfreeze.runtime.redaction import redact

# A stage needs no right to write to the repository, and code that trains should not have it.
WITHHELD = ("GITHUB_TOKEN",)


def read_lock(paths: Paths) -> dict[str, Any]:
    """Return the content of dvc.lock.

    Args:
        paths: The checkout.

    Raises:
        UnfreezeError: It is missing, holds a merge conflict, was cut short, or is otherwise not what DVC writes.
    """
    if not paths.dvc_lock.exists():
        raise UnfreezeError("there is no dvc.lock, so no study has run here: run `dvc repro`")
    files.read_yaml(paths.dvc_lock)
    from dvc.schema import COMPILED_LOCKFILE_SCHEMA
    from dvc.utils.serialize import load_yaml
    from voluptuous import Invalid

    try:
        # DVC's reader: to PyYAML 1e-05 is text.
        lock: dict[str, Any] = COMPILED_LOCKFILE_SCHEMA(load_yaml(str(paths.dvc_lock)))
    except Invalid as error:
        raise UnfreezeError(
            f"dvc.lock is not what DVC writes ({error}), as if it was cut short: take the committed one with "
            "`git checkout dvc.lock`, then run `dvc repro`"
        ) from error
    return lock


def require_lock(paths: Paths) -> None:
    """Find out before the work whether dvc.lock can be read; where it is missing every stage runs.

    Raises:
        UnfreezeError: It is not what DVC writes.
    """
    if paths.dvc_lock.exists():
        read_lock(paths)


def list_stages_to_run(root: Path) -> list[str]:
    """Return the stages that `dvc repro` would begin with; what follows on them is not named.

    The digests of the code in `code/` must be those of the source at hand. The stage that writes them is not named:
    an edit that changes no digest retrains nothing.

    A file that is missing here is no reason where the lock knows its digest. That is what `dvc repro --dry
    --allow-missing` answers, which ends with an error where a stage has changed whose dependencies are missing.
    """
    with open_repository(root) as repo, repo.lock:
        graph = repo.index.graph
        return [
            stage.addressing
            for stage in repo.index.stages
            if stage.addressing != CODE_STAGE
            and stage.changed(allow_missing=True, upstream=list(graph.successors(stage)))
        ]


def is_complete(root: Path) -> bool:
    """Tell whether every output is here as the lock has it."""
    with open_repository(root) as repo, repo.lock:
        return not any(stage.changed() for stage in repo.index.stages)


def list_outputs_in_git(root: Path) -> list[str]:
    """Return the outputs of the pipeline that git holds, relative to the root."""
    with open_repository(root) as repo:
        return [os.path.relpath(out.fs_path, root) for out in repo.index.outs if not out.use_cache]


def require_remote(root: Path) -> str | None:
    """Return the name of the DVC remote, found to answer; None where none is set.

    Raises:
        UnfreezeError: It does not answer, refuses the credentials, or its package is missing.
    """
    with open_repository(root) as repo:
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
            reason = shorten(error, hide=redact)
            raise UnfreezeError(
                f"DVC remote {name!r} does not answer ({reason}): check its address (`dvc remote list`), its "
                "package and its credentials"
            ) from error
        return str(name)


def list_mismatches(root: Path) -> list[str]:
    """Return the stages whose outputs, dependencies or settings here are not those that dvc.lock names.

    Raises:
        UnfreezeError: `dvc status` fails.
    """
    command = [sys.executable, "-m", "dvc", "status", "--json"]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    if done.returncode:
        reason = redact(done.stderr.strip().partition("\n")[0].removeprefix("ERROR: "))
        raise UnfreezeError(
            f"`dvc status` failed ({reason}): correct that (`git checkout dvc.lock` takes the committed lock), "
            "then run `dvc repro`"
        )
    return list(json.loads(done.stdout))


def read_version(paths: Paths, path: Path, revision: str) -> str:
    """Return the text of an output as the lock of a git revision names it.

    Args:
        paths: The checkout.
        path: The output.
        revision: A commit, branch or tag.

    Raises:
        UnfreezeError: There is no such version here.
    """
    from dvc.api import read
    from dvc.exceptions import DvcException

    name = str(path.relative_to(paths.root))
    try:
        return str(read(name, repo=str(paths.root), rev=revision))
    except (DvcException, OSError) as error:
        reason = shorten(error, hide=redact)
        raise UnfreezeError(
            f"{name} of {revision} is not here ({reason}): name a revision that has it, or `dvc fetch --all-commits`"
        ) from error


def compose_params(paths: Paths, *overrides: str, target: Path | None = None) -> None:
    """Write params.yaml from `conf/`, as `dvc exp run -S` does.

    Args:
        paths: The checkout.
        *overrides: Settings that differ, such as `study=tiny`.
        target: Another file to write.

    Raises:
        UnfreezeError: A file in `conf/` is no YAML, or holds a merge conflict; or there is no such setting.
    """
    from dvc.utils.hydra import compose_and_dump
    from hydra.errors import HydraException, MissingConfigException
    from omegaconf.errors import OmegaConfBaseException

    for path in sorted(paths.conf.rglob("*.yaml")):
        files.read_yaml(path)
    load_resolvers(paths.conf)
    with files.atomic(target or paths.params) as partial:
        try:
            compose_and_dump(str(partial), str(paths.conf), None, "config", "", list(overrides))
        except MissingConfigException as error:
            known = ", ".join(error.options or ())
            raise UnfreezeError(f"conf/ has no {error.missing_cfg_file}: take one of {known}") from error
        except (HydraException, OmegaConfBaseException) as error:
            reason = shorten(error, hide=redact)
            raise UnfreezeError(
                f"-S {' -S '.join(overrides)} cannot be composed ({reason}): name settings as conf/config.yaml does, "
                "with + before one that it lacks"
            ) from error


def load_resolvers(conf: Path) -> None:
    """Let presets ask for what is found where settings are composed, as `dvc exp run` does by `plugins_path`.

    Hydra looks for such files once a process, and perhaps elsewhere.

    Args:
        conf: The folder of settings.
    """
    resolvers = conf / "hydra_plugins/best.py"
    if resolvers.exists():
        runpy.run_path(str(resolvers))


def pull(root: Path) -> None:
    """Bring all the remote has of the lock, and of earlier runs; what it lacks is made again."""
    _run_dvc(root, "pull", "--run-cache", "--allow-missing", "--force")


def checkout(root: Path) -> None:
    """Bring all the cache has of the lock; what it lacks is made again."""
    _run_dvc(root, "checkout", "--allow-missing", "--force")


def reproduce(root: Path, *options: str, environment: Mapping[str, str] | None = None) -> None:
    """Run the pipeline; its stages tell what they do.

    Args:
        root: The checkout.
        *options: Further options of `dvc repro`.
        environment: Variables its stages see besides those of this process.

    Raises:
        UnfreezeError: A stage failed.
    """
    _run_dvc(root, "repro", *options, environment=environment)


def run_experiment(root: Path, overrides: Sequence[str], *options: str) -> None:
    """Run the pipeline as an experiment.

    Args:
        root: The checkout.
        overrides: Settings that differ, as Hydra reads them.
        *options: Further options of `dvc exp run`.

    Raises:
        UnfreezeError: A stage failed.
    """
    settings = [word for override in overrides for word in ("-S", override)]
    _run_dvc(root, "exp", "run", *settings, *options)


def pull_inputs(root: Path) -> None:
    """Bring the files that no stage makes: those DVC tracks by a file of their own."""
    with open_repository(root) as repo:
        inputs = [out.fs_path for stage in repo.index.stages if stage.is_data_source for out in stage.outs]
    if inputs:
        _run_dvc(root, "pull", *inputs)


def push(root: Path) -> None:
    """Send all of the lock, and of the runs that led to it, to the remote."""
    _run_dvc(root, "push", "--run-cache")


@contextmanager
def open_repository(root: Path, *, asks_git: bool = True) -> Iterator[Any]:
    """Yield DVC's repository.

    Args:
        root: Its folder.
        asks_git: Whether DVC looks for git's repository, and refuses a folder without one.

    Raises:
        UnfreezeError: DVC cannot read it.
    """
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    try:
        with Repo(str(root), config=None if asks_git else {"core": {"no_scm": True}}) as repo:
            yield repo
    except DvcException as error:
        reason = shorten(error, hide=redact)
        raise UnfreezeError(
            f"DVC cannot read the pipeline ({reason}): correct dvc.yaml until `dvc status` works, or take the "
            "committed files with `git checkout dvc.yaml dvc.lock`"
        ) from error


def make_environment(root: Path) -> dict[str, str]:
    """Return the variables that DVC and the stages that it starts see.

    Args:
        root: The checkout.
    """
    inherited = {name: value for name, value in os.environ.items() if name not in WITHHELD}
    # Stages look for their programs on the PATH where the checkout has no environment of its own.
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    # The installed package may be that of another checkout: its own code has to run.
    return {**inherited, "PATH": path, "PYTHONPATH": str(root / "src")}


def start(root: Path, *arguments: str) -> psutil.Popen:
    """Start DVC and return its process; what it writes comes from the process's standard output, as text.

    Args:
        root: The checkout.
        *arguments: Those of `dvc`.
    """
    return psutil.Popen(
        [sys.executable, "-m", "dvc", *arguments],
        cwd=root,
        env=make_environment(root),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )


def _run_dvc(root: Path, *arguments: str, environment: Mapping[str, str] | None = None) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "dvc", *arguments],
        cwd=root,
        env={**make_environment(root), **(environment or {})},
        # Standard output belongs to the result of the command that calls this.
        stdout=sys.stderr,
        check=False,
    )
    if done.returncode:
        raise UnfreezeError(
            f"dvc {arguments[0]} ended with status {done.returncode}, its reason stands above: correct it and run "
            "this again; what was done is kept"
        )
