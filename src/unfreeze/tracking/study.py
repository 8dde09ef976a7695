"""The runs of one study: a parent, a child a backbone, under it its phases and trials."""

import functools
import hashlib
import json
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Literal

import pandas as pd

from unfreeze import files
from unfreeze.images import store
from unfreeze.paths import Paths
from unfreeze.records.code_digests import find_digests
from unfreeze.records.corrections import Corrections, describe_counts
from unfreeze.records.exported_model import Exports
from unfreeze.records.trial import SearchResult, Trial
from unfreeze.records.verdict import Verdict
from unfreeze.settings.params import Params, load
from unfreeze.tracking import contents, datasets, keys, models, system_metrics, views
from unfreeze.tracking.runs import Run, Runs
from unfreeze.tracking.server import Server

Part = Literal["search", "training", "model", "evaluation", "figures"]
# The parts whose files are there when a part's are; DVC may score a model before it packs it, or after that.
WITH: dict[Part, tuple[Part, ...]] = {
    "search": ("search",),
    "training": ("search", "training"),
    "model": ("search", "training", "model"),
    "evaluation": ("search", "training", "evaluation"),
    "figures": ("search", "training", "model", "evaluation", "figures"),
}
# Most of a call to a server is waiting. A SQLite file has one writer at a time.
CALLS_AT_ONCE = 8


class StudyRuns:
    """What the store has of the study in a checkout, and how the rest gets there.

    All of it is read from the files that stages wrote. A part is marked when it is whole, so that one which was
    interrupted is logged again, to the same values.

    Args:
        paths: The checkout.
        server: The store.
    """

    def __init__(self, paths: Paths, server: Server) -> None:
        self.paths = paths
        self.server = server

    @functools.cached_property
    def runs(self) -> Runs:
        """The runs whose results the same parameters, data, code of the stages and locked libraries determine."""
        digest = hashlib.sha256()
        lock = [self.paths.lock] if self.paths.lock.exists() else []
        for path in (self.paths.params, self.paths.manifest, *lock):
            digest.update(files.hash_file(path).encode())
        digest.update(files.digest(find_digests(self.paths)).encode())
        return Runs(self.server, digest.hexdigest()[:16])

    @functools.cached_property
    def _params(self) -> Params:
        return load(self.paths.params)

    @functools.cached_property
    def _folds(self) -> pd.DataFrame:
        return datasets.read_folds_table(self.paths)

    @functools.cached_property
    def _corrections(self) -> Corrections | None:
        """What corrections changed; None in a checkout whose study an earlier version has run."""
        path = self.paths.correction_effects
        return Corrections.read(path) if path.exists() else None

    @functools.cached_property
    def _names(self) -> dict[str, str]:
        return {keys.OF_STUDY: self._params.study.name, keys.OF_DATA: self._params.data.name}

    @functools.cached_property
    def _of_all(self) -> dict[str, str]:
        """Tags that the study and all of its backbones have."""
        digests = datasets.hash_folds(self._folds)
        return {
            **contents.describe_origin(self.paths),
            **self._names,
            **{keys.FOLD_DIGEST[fold]: digest for fold, digest in digests.items()},
        }

    @functools.cached_property
    def _of_backbones(self) -> dict[str, str]:
        images = store.describe(self.paths.images)
        return {**self._of_all, keys.CLASSES: json.dumps(images.classes), keys.IMAGE_SIZE: str(images.size)}

    def find_study(self) -> Run:
        """Return the study's run, with its folds."""
        name = f"{self._params.study.name} {self._params.data.name}"
        run = self.runs.run("study", name, keys.STUDY, None, self._of_all)
        if not self._is_logged(run, "folds"):
            self.server.client.log_inputs(run.id, datasets.list_inputs(self._params, self._folds))
            table = self._folds.to_csv(index=False, lineterminator="\n")
            self.server.client.log_text(run.id, table, keys.FOLDS)
            self._mark_logged(run, "folds")
        return run

    def find_backbone(self, backbone: str) -> Run:
        """Return a backbone's run, with its folds as inputs."""
        tags = {keys.OF_BACKBONE: backbone, **contents.describe_weights(self.paths, backbone), **self._of_backbones}
        run = self.runs.run(backbone, backbone, keys.BACKBONE, self.find_study(), tags)
        if not self._is_logged(run, "folds"):
            self.server.client.log_inputs(run.id, datasets.list_inputs(self._params, self._folds))
            self._mark_logged(run, "folds")
        return run

    def complete(self, backbone: str, last: Part) -> Run:
        """Log a part of a backbone, and those before it, that are not logged yet.

        Other parts' files may still be those of an earlier run, so they are left alone.
        """
        run = self.find_backbone(backbone)
        log_part = {
            "search": self._log_search,
            "training": self._log_training,
            "model": self._log_model,
            "evaluation": self._log_evaluation,
            "figures": self._log_figures,
        }
        for part in WITH[last]:
            if not self._is_logged(run, part):
                log_part[part](run, backbone)
                self._mark_logged(run, part)
        if last == "figures":
            self.runs.finish(run)
        return run

    def report(self, backbones: list[str]) -> None:
        """Log all of the backbones, what the verdict says of them, and the report."""
        self.runs.load()
        rows = {row.backbone: row for row in Verdict.read(self.paths.verdict).rows}
        for backbone in backbones:
            run = self.complete(backbone, "figures")
            if not self._is_logged(run, "verdict"):
                known = {point[0] for point in contents.list_test_metrics(self.paths, backbone)}
                self.runs.log(run, metrics=contents.list_verdict_metrics(rows[backbone], known))
                self._mark_logged(run, "verdict")
            self._log_exports(run, backbone)
            self._refresh_lock(run)
        study = self.find_study()
        self._refresh_lock(study)
        if not self._is_logged(study, "report"):
            from unfreeze.figures import draw

            for path in (self.paths.report_html, self.paths.report_markdown, self.paths.report_json):
                self.runs.log_artifact(study, path, "report")
            self.runs.log(
                study, metrics=[(f"{name} test accuracy", row.accuracy.value, 0) for name, row in rows.items()]
            )
            if self._corrections:
                self.runs.log(study, metrics=contents.list_correction_metrics(self._corrections))
            for picture in draw.list_study_pictures(self.paths):
                self.runs.log_artifact(study, picture, "plots")
            self._mark_logged(study, "report")
        self._log_corrections(study)
        self.runs.finish(study)
        views.write_views(self.server.client, self.server.experiment_id, self.runs.prefix, study.id)

    def log_exports(self, backbone: str) -> bool:
        """Log the exported formats of a backbone in its run, and tell whether the store has that run.

        None is made here: the rest of the study may be missing, or the code may be another than that of the study.
        """
        run = self.runs.find(backbone)
        if run is not None:
            self._log_exports(run, backbone)
        return run is not None

    def log_trial(self, backbone: str, trial: Trial) -> None:
        """Log the epochs of a trial that are new, and its end if it has one."""
        self._log_trial(self.find_backbone(backbone), backbone, trial)

    def _log_search(self, run: Run, backbone: str) -> None:
        trials = SearchResult.read(self.paths.search(backbone)).trials
        with ThreadPoolExecutor(CALLS_AT_ONCE if self.server.is_remote else 1) as pool:
            waiting = [pool.submit(self._log_trial, run, backbone, trial) for trial in trials]
            try:
                for future in waiting:
                    future.result()
            finally:
                # If one call fails, the others would too.
                pool.shutdown(cancel_futures=True)

    def _log_trial(self, above: Run, backbone: str, trial: Trial) -> None:
        number = f"trial {trial.trial}"
        tags = {keys.OF_BACKBONE: backbone, **self._names}
        run = self.runs.run(f"{backbone}/{number}", f"{backbone} {number}", keys.TRIAL, above, tags)
        if keys.ENDED not in run.tags:
            known = int(run.tags.get(keys.EPOCHS, 0))
            has_ended = any(of is not None for of in (trial.failed, trial.score, trial.seconds))
            ended = {keys.ENDED: trial.failed or "scored"}
            running = {keys.EPOCHS: str(max(known, len(trial.epochs)))}
            self.runs.log(
                run,
                params=contents.list_trial_params(backbone, trial),
                metrics=contents.list_trial_metrics(trial, known),
                tags=ended if has_ended else running,
            )
        if keys.ENDED in run.tags:
            self.runs.finish(run, "FAILED" if trial.failed else "FINISHED")

    def _log_training(self, run: Run, backbone: str) -> None:
        history = pd.read_csv(self.paths.history(backbone))
        params = contents.list_training_params(self.paths, backbone)
        for phase, rows in history.groupby("phase", sort=False):
            child = self.runs.run(
                f"{backbone}/{phase}", str(phase), keys.PHASE, run, {keys.OF_BACKBONE: backbone, **self._names}
            )
            self.runs.log(child, metrics=contents.list_epochs(rows))
            self.runs.finish(child)
        self.runs.log(
            run,
            params=params,
            metrics=[*contents.list_epochs(history), *system_metrics.read(self.paths.system_metrics(backbone))],
            tags={keys.MODEL_SHA256: params["model_sha256"]},
        )

    def _log_model(self, run: Run, backbone: str) -> None:
        models.log(self.server, run, self.paths, backbone)
        self.runs.log(run, tags={keys.PACKAGE_SHA256: models.hash_package(self.paths.packed(backbone))})

    def _log_evaluation(self, run: Run, backbone: str) -> None:
        self.runs.log(run, metrics=contents.list_test_metrics(self.paths, backbone))
        self.runs.log_artifact(run, self.paths.predictions(backbone), "predictions")

    def _log_figures(self, run: Run, backbone: str) -> None:
        # Imported here, since Vega-Lite takes as long to import as a stage without figures takes to log.
        from unfreeze.figures import draw

        for picture in draw.list_backbone_pictures(self.paths, backbone):
            self.runs.log_artifact(run, picture, "plots")

    def _log_exports(self, run: Run, backbone: str) -> None:
        """Log the recorded formats if they are of the run's model, and not those that were logged last."""
        path = self.paths.exports(backbone)
        if not path.exists() or run.tags.get(keys.EXPORTS_SHA256) == files.hash_file(path):
            return
        found = Exports.read(path)
        if found.model_sha256 == run.tags.get(keys.MODEL_SHA256):
            after = max(0, int(1000 * time.time()) - run.begun)
            self.runs.log(run, metrics=contents.list_export_metrics(found, after))
            self.runs.log_artifact(run, path, "export")
            self.runs.log(run, tags={keys.EXPORTS_SHA256: files.hash_file(path)})

    def _refresh_lock(self, run: Run) -> None:
        """The lock is whole only after the stage that wrote the report has ended."""
        if run.tags.get(keys.DVC_LOCK) != self._of_all[keys.DVC_LOCK]:
            self.runs.log(run, tags={keys.DVC_LOCK: self._of_all[keys.DVC_LOCK]})

    def _log_corrections(self, study: Run) -> None:
        """Log the file of corrections; another reason, or a label that is kept, makes no new study."""
        if self._corrections is None:
            return
        counts = self._corrections.counts
        if counts.is_empty and keys.CORRECTIONS not in study.tags:
            return
        digest = files.hash_file(self.paths.corrections)
        if study.tags.get(keys.CORRECTIONS_SHA256) != digest:
            self.runs.log_artifact(study, self.paths.corrections, "data")
            told = {keys.CORRECTIONS: describe_counts(counts), keys.CORRECTIONS_SHA256: digest}
            self.runs.log(study, tags=told)

    def _is_logged(self, run: Run, part: str) -> bool:
        return f"{keys.LOGGED}{part}" in run.tags

    def _mark_logged(self, run: Run, part: str) -> None:
        self.runs.log(run, tags={f"{keys.LOGGED}{part}": "yes"})
