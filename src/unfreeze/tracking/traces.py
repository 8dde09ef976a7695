"""From a run back to what made it, and from an image to the models that were made with it."""

import functools
import io
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Any

import pandas as pd

from unfreeze import files, git
from unfreeze.checks.corrections import GIVEN
from unfreeze.errors import UnfreezeError
from unfreeze.tracking import keys
from unfreeze.tracking.server import Server, iterate_pages

A_PAGE = 1000


def trace_run(server: Server, run_id: str) -> dict[str, Any]:
    """Return where a run comes from, and the commands that bring that back.

    Args:
        server: The store.
        run_id: The run: a study's, a backbone's, or one below that, whose backbone's then counts.

    Returns:
        `run`, `name`, `kind`, `backbone`, `study_run`; `commit`, that the code was of; `lock_commit`, the one that
        holds the results' dvc.lock, or None; `dvc_lock_sha256`, `data_sha256`, `folds` (digest of each), `weights`,
        `weights_sha256`, `model_sha256`, `requirements_sha256`, `environment`, `platform`; and `commands`.

    Raises:
        UnfreezeError: There is no such run, or it is none of this project's.
    """
    with server.in_one_line():
        asked = run = _describe_run(server, run_id)
        while run.data.tags.get(keys.KIND) in (keys.PHASE, keys.TRIAL):
            run = _describe_run(server, run.data.tags[keys.PARENT])
    tags = run.data.tags
    if tags.get(keys.KIND) not in (keys.STUDY, keys.BACKBONE):
        raise UnfreezeError(
            f"run {run_id} of {server.shown_uri} is not a study's: give one that `unfreeze sync` made"
        )
    root = server.paths.root
    holding = _find_commit_with_lock(root, server.paths.dvc_lock.name, tags[keys.DVC_LOCK])
    found = {
        "run": asked.info.run_id,
        "name": asked.info.run_name,
        "kind": asked.data.tags[keys.KIND],
        "backbone": tags.get(keys.OF_BACKBONE),
        "study_run": tags.get(keys.PARENT, run.info.run_id),
        "commit": tags[keys.COMMIT],
        "lock_commit": holding,
        "folds": {fold: tags[name] for fold, name in keys.FOLD_DIGEST.items() if name in tags},
    }
    for name in (
        keys.DVC_LOCK, keys.DATA_SHA256, keys.WEIGHTS, keys.WEIGHTS_SHA256, keys.MODEL_SHA256, keys.REQUIREMENTS,
        keys.ENVIRONMENT, keys.PLATFORM,
    ):  # fmt: skip
        found[name] = tags.get(name)
    back = ["make install", "dvc pull"] if holding else ["make install", "dvc repro"]
    return {**found, "commands": [f"git checkout {holding or tags[keys.COMMIT]}", *back]}


def read_folds(server: Server, study_run_id: str) -> pd.DataFrame:
    """Return the images a study was made with.

    Args:
        server: The store.
        study_run_id: The study's run.

    Returns:
        `sha256`, `label`, `fold` of each, and `label_given` where labels were corrected, as text.

    Raises:
        UnfreezeError: The study's run has no such table.
    """
    with server.in_one_line(), tempfile.TemporaryDirectory(prefix="unfreeze-") as folder:
        path = server.client.download_artifacts(study_run_id, keys.FOLDS, folder)
        return files.read_csv(io.StringIO(Path(path).read_text(encoding="utf-8")))


def find_models_that_saw(server: Server, image_sha256: str) -> list[dict[str, Any]]:
    """Return all models of the experiment that were made, chosen or scored with an image.

    Args:
        server: The store.
        image_sha256: SHA-256 of the image's file.

    Returns:
        One mapping a model, the newest first: `run`, `backbone`, `study`, `fold` (train: it learnt from it; val: it
        was chosen by it; test: it was scored on it; calibration: its conformal sets are made with it), `label`,
        `label_given` (the source's, where a correction replaced it; else None), `model_sha256`, and `versions`, each
        with `name`, `version` and `aliases`, of those in the registry.
    """
    with server.in_one_line():
        runs = _list_backbones(server)
        versions = _list_versions(server) if runs else {}

    # Studies with the same folds have the same table.
    @functools.cache
    def place(_: tuple[str | None, ...], study_run_id: str) -> dict[str, str] | None:
        table = read_folds(server, study_run_id)
        rows = table[table["sha256"] == image_sha256]
        return dict(rows.iloc[0].astype(str)) if len(rows) else None

    study_of: dict[tuple[str | None, ...], str] = {}
    found = []
    for run in runs:
        tags = run.data.tags
        digests = tuple(map(tags.get, keys.FOLD_DIGEST.values()))
        row = place(digests, study_of.setdefault(digests, tags[keys.PARENT]))
        if row is not None:
            found.append(
                {
                    "run": run.info.run_id,
                    "backbone": tags[keys.OF_BACKBONE],
                    "study": tags[keys.OF_STUDY],
                    "fold": row["fold"],
                    "label": row["label"],
                    "label_given": row.get(GIVEN) or None,
                    "model_sha256": tags.get(keys.MODEL_SHA256),
                    "versions": versions.get(run.info.run_id, []),
                }
            )
    return found


def _describe_run(server: Server, run_id: str) -> Any:
    from mlflow.exceptions import MlflowException

    try:
        return server.client.get_run(run_id)
    except MlflowException as error:
        if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            raise
        raise UnfreezeError(
            f"{server.shown_uri} has no run {run_id!r}: copy the id from the run's page, or from `unfreeze seen`"
        ) from error


def _list_backbones(server: Server) -> list[Any]:
    wanted = f"tags.`{keys.KIND}` = '{keys.BACKBONE}'"
    return list(iterate_pages(server.client.search_runs, [server.experiment_id], wanted, max_results=A_PAGE))


def _list_versions(server: Server) -> dict[str, list[dict[str, Any]]]:
    """Return the registered versions by the run that made them."""
    aliases: dict[tuple[str, int], list[str]] = defaultdict(list)
    # A search for versions leaves their aliases out.
    for model in iterate_pages(server.client.search_registered_models, max_results=A_PAGE):
        for alias, version in model.aliases.items():
            aliases[model.name, int(version)].append(alias)
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for version in iterate_pages(server.client.search_model_versions, max_results=A_PAGE):
        name, number = version.name, int(version.version)
        found[version.run_id].append({"name": name, "version": number, "aliases": sorted(aliases[name, number])})
    return found


def _find_commit_with_lock(root: Path, name: str, sha256: str) -> str | None:
    """Return the last commit that changed dvc.lock to one with a digest."""
    commits = git.list_commits_of(root, name)
    return next((commit for commit in commits if git.hash_file(root, commit, name) == sha256), None)
