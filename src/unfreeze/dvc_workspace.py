"""What a plan asks of DVC: the stages for any parameters, digests of files, and which runs its cache holds."""

import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unfreeze.dvc_repo import open_repository
from unfreeze.paths import Paths

# What stands for a parameter that is not there: null is a value.
_MISSING = object()


@dataclass(frozen=True)
class Step:
    """A stage as DVC reads it from dvc.yaml and params.yaml.

    Args:
        name: The stage, with its backbone, such as `extract@xception`.
        command: What it runs.
        deps: Files and folders that it depends on.
        params: Values of its parameters, by file and dotted name.
        outs: Files and folders that it writes.
        restorable: Whether DVC keeps its runs, so that a run with the same inputs is not repeated.
    """

    name: str
    command: str
    deps: tuple[str, ...]
    params: dict[str, dict[str, Any]]
    outs: tuple[str, ...]
    restorable: bool


def list_steps(paths: Paths, params: Path) -> list[Step]:
    """Return the stages in the order in which `dvc repro` runs them.

    Args:
        paths: The checkout, of which dvc.yaml is read.
        params: The parameters, which need not be those of the checkout.
    """
    from dvc.dependency import ParamsDependency
    from dvc.repo.reproduce import plan_repro
    from dvc.utils.serialize import load_yaml

    with tempfile.TemporaryDirectory() as folder:
        shutil.copyfile(paths.pipeline, Path(folder) / "dvc.yaml")
        shutil.copyfile(params, Path(folder) / "params.yaml")
        (Path(folder) / ".dvc").mkdir()
        with open_repository(Path(folder), asks_git=False) as repo:
            # Once: DVC reads all of it anew for each stage.
            values = load_yaml(str(params))
            stages = plan_repro(repo.index.graph, list(repo.index.stages))
            return [
                Step(
                    name=stage.name,
                    command=stage.cmd,
                    deps=tuple(dep.def_path for dep in stage.deps if not isinstance(dep, ParamsDependency)),
                    params={dep.def_path: pick_values(values, dep.params) for dep in stage.params},
                    outs=tuple(out.def_path for out in stage.outs),
                    restorable=not any(out.persist for out in stage.outs),
                )
                for stage in stages
            ]


def pick_values(values: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    """Return the parameters that a stage names; those that are not there are left out, as DVC does.

    Args:
        values: All of params.yaml.
        names: Dotted names.

    >>> pick_values({"split": {"train": 0.6, "val": 0.2}}, ["split.train", "split.none"])
    {'split.train': 0.6}
    """
    found = {}
    for name in names:
        value: Any = values
        for part in name.split("."):
            value = value.get(part, _MISSING) if isinstance(value, Mapping) else _MISSING
        if value is not _MISSING:
            found[name] = value
    return found


class Workspace:
    """The files of a checkout and DVC's cache, as DVC sees them.

    Args:
        repo: From `open_workspace`.
    """

    def __init__(self, repo: Any) -> None:
        self._repo = repo
        self._digests: dict[str, str | None] = {}

    def digest(self, path: str) -> str | None:
        """Return the digest of a file or folder as DVC computes it; None if it is not there."""
        from dvc.stage import PipelineStage, create_stage

        if path not in self._digests:
            stage = create_stage(PipelineStage, repo=self._repo, path="dvc.yaml", cmd="", name="_", deps=[path])
            (dep,) = stage.deps
            self._digests[path] = dep.get_hash().value if dep.exists else None
        return self._digests[path]

    def find_run(self, step: Step, digests: Mapping[str, str]) -> dict[str, str] | None:
        """Return the digests of the outputs of an earlier run with the same inputs, if the cache holds them all.

        Args:
            step: The stage.
            digests: Digests of all that it depends on, by path.
        """
        from dvc.stage.cache import _get_cache_hash

        cache = self._repo.stage_cache
        # What DVC's cache of runs is looked up by: stage/serialize.py and stage/cache.py.
        key: dict[str, Any] = {
            "cmd": step.command,
            "deps": [{"path": path, "hash": "md5", "md5": digests[path]} for path in sorted(digests)],
            "outs": [{"path": path} for path in sorted(step.outs)],
        }
        if any(step.params.values()):
            key["params"] = {file: dict(sorted(values.items())) for file, values in sorted(step.params.items())}
        folder = Path(cache._get_cache_dir(_get_cache_hash(key, key=True)))
        runs = sorted(folder.iterdir(), key=lambda run: run.stat().st_mtime) if folder.is_dir() else []
        found = cache._load_cache(folder.name, runs[-1].name) if runs else None
        outs = {out["path"]: out["md5"] for out in found["outs"]} if found else {}
        return outs if outs and self.holds(outs) else None

    def holds(self, digests: Mapping[str, str]) -> bool:
        """Tell whether the cache holds all outputs with these digests."""
        cache = self._repo.cache.local
        return all(cache.exists(digest) for digest in digests.values())


@contextmanager
def open_workspace(root: Path) -> Iterator[Workspace]:
    """Yield the files of a checkout and DVC's cache."""
    with open_repository(root, asks_git=False) as repo, repo.lock:
        yield Workspace(repo)
