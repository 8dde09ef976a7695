"""DVC's files become runs that a person can browse.

A study is a parent run, each backbone a child, each phase and each trial a child of that. Stages are separate
processes; they find their run by a tag made of what determines its content. Everything logged is read from
the files that stages wrote, so it can be logged later too, and a server that is down costs no result.
"""

import functools
import hashlib
import re
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Concatenate, Literal, ParamSpec

import pandas as pd
import yaml

from unfreeze import console, files, git
from unfreeze.console import log
from unfreeze.history import CURVES
from unfreeze.params import load, settings_of
from unfreeze.paths import Paths
from unfreeze.tracking.server import Server

KEY = "unfreeze.key"
LOGGED = "unfreeze.logged"
# Of a trial: how many epochs are logged, and how it ended.
EPOCHS = "unfreeze.epochs"
ENDED = "unfreeze.ended"
Part = Literal["search", "training", "evaluation"]
PARTS: tuple[Part, ...] = ("search", "training", "evaluation")

P = ParamSpec("P")


def never_fatal(
    method: Callable[Concatenate["Ledger", P], None],
) -> Callable[Concatenate["Ledger", P], None]:
    """Turn every failure of a logging method into a warning that says what was not logged."""

    @functools.wraps(method)
    def guarded(self: "Ledger", *args: P.args, **kwargs: P.kwargs) -> None:
        named = (argument for argument in args if isinstance(argument, str))
        what = " ".join([method.__name__.lstrip("_").removeprefix("log_"), *named])
        if self.out_of_reach:
            log.warning("not logged in MLflow: %s", what)
            return
        try:
            method(self, *args, **kwargs)
            return
        # Results are worth more than their log: whatever the server or its client raises, the study goes on.
        except Exception as error:
            self.out_of_reach = True
            reason = _without_password((str(error).strip().splitlines() or [type(error).__name__])[0])[:200]
        finally:
            # Alembic, which prepares MLflow's database, switches off every logger it does not know.
            log.disabled = False
        log.warning(
            "not logged in MLflow: %s (%s: %s). The results are complete; `unfreeze sync` logs them later",
            what, _without_password(self._server.uri), reason,
        )  # fmt: skip

    return guarded


@functools.cache
def _ledger(paths: Paths, experiment: str) -> "Ledger":
    return Ledger(paths, experiment)


class Ledger:
    """The runs of one checkout; a copy sent to another process is one and the same there each time.

    Args:
        paths: Where stages left their files.
        experiment: The experiment's name.
    """

    def __init__(self, paths: Paths, experiment: str) -> None:
        self.paths = paths
        self.experiment = experiment
        self.out_of_reach = False
        self._server = Server(paths, experiment)

    def __reduce__(self) -> Any:
        return _ledger, (self.paths, self.experiment)

    def log_trial(self, backbone: str, trial: dict[str, Any]) -> None:
        """Log what a trial has done so far; what was logged before is left as it is."""
        if not self.out_of_reach:
            self._log_trial(backbone, trial)

    @never_fatal
    def _log_trial(self, backbone: str, trial: dict[str, Any]) -> None:
        self._trial(self._backbone(backbone), backbone, trial)

    @never_fatal
    def log_search(self, backbone: str) -> None:
        """Log a backbone's trials and their picture."""
        self._complete(backbone, "search")

    @never_fatal
    def log_training(self, backbone: str) -> None:
        """Log a backbone's parameters, both phases' curves and its model, and its trials if they are missing."""
        self._complete(backbone, "training")

    @never_fatal
    def log_evaluation(self, backbone: str) -> None:
        """Log a backbone's test scores and pictures, and all before them that is missing."""
        self._complete(backbone, "evaluation")

    @never_fatal
    def log_study(self, backbones: list[str]) -> None:
        """Log the report in the study's run, and all of its backbones that is missing."""
        for backbone in backbones:
            self._complete(backbone, "evaluation")
        run = self._study()
        if self._is_logged(run, "report"):
            return
        for path in (
            self.paths.report_html,
            self.paths.report_markdown,
            self.paths.report_json,
            self.paths.curves_picture,
        ):
            self._server.client.log_artifact(run, str(path), "report")
        rows = files.read_json(self.paths.verdict)["rows"]
        scores = {f"{row['backbone']} test accuracy": row["scores"]["accuracy"]["value"] for row in rows}
        self._log(run, metrics=[(name, value, 0) for name, value in scores.items()])
        self._mark_logged(run, "report")

    @functools.cached_property
    def _key(self) -> str:
        """Digest of what determines the results: parameters, data, code and locked libraries."""
        digest = hashlib.sha256()
        code = sorted(Path(__file__).parents[1].rglob("*.py"))
        lock = [self.paths.lock] if self.paths.lock.exists() else []
        for path in (self.paths.params, self.paths.manifest, *lock, *code):
            digest.update(files.sha256(path).encode())
        return digest.hexdigest()[:16]

    def _study(self) -> str:
        params = load(self.paths.params)
        tags = {
            "data": params.data.name,
            "data_sha256": files.sha256(self.paths.manifest),
            "mlflow.source.git.commit": git.commit(self.paths.root),
            "mlflow.source.name": "dvc repro",
        }
        return self._run("study", f"{params.study.name} {params.data.name}", None, tags)

    def _backbone(self, backbone: str) -> str:
        weights = files.read_json(self.paths.weights_record(backbone))
        tags = {
            "backbone": backbone,
            "weights": weights["source"],
            "weights_sha256": weights["sha256"],
            "data_sha256": files.sha256(self.paths.manifest),
            "mlflow.source.git.commit": git.commit(self.paths.root),
            "mlflow.source.name": "dvc repro",
        }
        return self._run(backbone, backbone, self._study(), tags)

    def _complete(self, backbone: str, last: Part) -> None:
        """Log the parts up to the last one that are not logged yet.

        Later parts' files may still be those of an earlier run, so they are left alone.
        """
        run = self._backbone(backbone)
        log_part = {"search": self._search, "training": self._training, "evaluation": self._evaluation}
        for part in PARTS[: PARTS.index(last) + 1]:
            if not self._is_logged(run, part):
                log_part[part](run, backbone)
                self._mark_logged(run, part)
        if last == "evaluation":
            self._server.client.set_terminated(run)
            self._server.client.set_terminated(self._study())

    def _search(self, run: str, backbone: str) -> None:
        for trial in files.read_json(self.paths.search(backbone))["trials"]:
            self._trial(run, backbone, trial)
        self._server.client.log_artifact(run, str(self.paths.search_picture(backbone)), "plots")

    def _trial(self, run: str, backbone: str, trial: dict[str, Any]) -> None:
        """Log the epochs of a trial that are new, and its end if it has one."""
        name = f"trial {trial['trial']}"
        child = self._run(f"{backbone}/{name}", name, run, {})
        tags = self._server.client.get_run(child).data.tags
        if ENDED in tags:
            return
        known = int(tags.get(EPOCHS, -1))
        if known < 0:
            chosen = {key: trial[key] for key in ("unfreeze_from", "unfreeze_point", "continues")}
            self._log(child, params={**chosen, **trial["settings"]})
        epochs = list(enumerate(trial["epochs"], start=1))[max(known, 0) :]
        metrics = [(key, value, step) for step, values in epochs for key, value in values.items()]
        if "seconds" not in trial and "score" not in trial and not trial["failed"]:
            self._log(child, metrics=metrics)
            self._server.client.set_tag(child, EPOCHS, str(max(known, len(trial["epochs"]))))
            return
        summary = ("score", "trainable_parameters", "seconds", "peak_mb")
        metrics += [(key, float(trial[key]), len(trial["epochs"])) for key in summary if key in trial]
        self._log(child, metrics=metrics)
        self._server.client.set_tag(child, ENDED, trial["failed"] or "scored")
        self._server.client.set_terminated(child, status="FAILED" if trial["failed"] else "FINISHED")

    def _training(self, run: str, backbone: str) -> None:
        record = files.read_json(self.paths.training(backbone))
        self._log(
            run, params=settings_of(yaml.safe_load(self.paths.params.read_text(encoding="utf-8")), backbone) | record
        )
        history = pd.read_csv(self.paths.history(backbone))
        self._log(run, metrics=_curves(history))
        for phase, rows in history.groupby("phase", sort=False):
            child = self._run(f"{backbone}/{phase}", str(phase), run, {})
            self._log(child, metrics=_curves(rows))
            self._server.client.set_terminated(child)
        self._server.client.log_artifact(run, str(self.paths.history_picture(backbone)), "plots")
        self._model(run, backbone)

    def _evaluation(self, run: str, backbone: str) -> None:
        result = files.read_json(self.paths.evaluation(backbone))
        metrics = [(f"test_{key}", float(value), 0) for key, value in result.items() if isinstance(value, float)]
        for group in ("macro", "weighted"):
            metrics += [(f"test_{group}_{key}", value, 0) for key, value in result[group].items() if key != "support"]
        for name, values in result["classes"].items():
            metrics += [
                (f"test_{key}/{_metric_name(name)}", value, 0) for key, value in values.items() if value is not None
            ]
        metrics += [(f"test_{key}", value, 0) for key, value in result["calibration"].items() if key != "log_loss"]
        self._log(run, metrics=metrics)
        for picture in (
            self.paths.confusion_picture(backbone),
            self.paths.roc_picture(backbone),
            self.paths.precision_recall_picture(backbone),
            self.paths.reliability_picture(backbone),
            self.paths.mistakes_picture(backbone),
        ):
            self._server.client.log_artifact(run, str(picture), "plots")
        self._server.client.log_artifact(run, str(self.paths.predictions(backbone)))

    def _model(self, run: str, backbone: str) -> None:
        console.import_tensorflow()
        import keras
        import mlflow.tensorflow
        import numpy as np
        from mlflow.entities import LoggedModelOutput, LoggedModelStatus
        from mlflow.models import Model, ModelSignature
        from mlflow.types import Schema, TensorSpec

        from unfreeze.data import store

        model = keras.models.load_model(self.paths.model(backbone), compile=False)
        example = next(store.batches(self.paths.images, [0], 1))
        pixels, probabilities = example.shape[1:], tuple(model.output.shape[1:])
        signature = ModelSignature(
            inputs=Schema([TensorSpec(np.dtype("uint8"), (-1, *pixels))]),
            outputs=Schema([TensorSpec(np.dtype("float32"), (-1, *probabilities))]),
        )
        logged = self._server.client.create_logged_model(self._server.experiment_id, name=backbone, source_run_id=run)
        # MLflow's own log_model loads what it has saved again and tries it, through a default store for the whole
        # process; evaluation tries the model on far more than one image.
        with tempfile.TemporaryDirectory(prefix="unfreeze-") as folder:
            mlflow.tensorflow.save_model(
                model,
                f"{folder}/model",
                mlflow_model=Model(
                    artifact_path=logged.artifact_location,
                    model_uuid=logged.model_id,
                    run_id=run,
                    model_id=logged.model_id,
                ),
                signature=signature,
                input_example=example,
                # Inferring them takes many seconds and names TensorFlow twice.
                pip_requirements=[f"keras=={keras.__version__}", f"tensorflow=={_tensorflow_version()}"],
            )
            self._server.client.log_model_artifacts(logged.model_id, f"{folder}/model")
        self._server.client.finalize_logged_model(logged.model_id, LoggedModelStatus.READY)
        self._server.client.log_outputs(run, [LoggedModelOutput(logged.model_id, step=0)])

    def _run(self, key: str, name: str, parent: str | None, tags: dict[str, str]) -> str:
        """Return the run with a key, made if it is missing."""
        full_key = f"{self._key}/{key}"
        found = self._server.client.search_runs(
            [self._server.experiment_id], f"tags.`{KEY}` = '{full_key}'", max_results=1
        )
        if found:
            return found[0].info.run_id
        parents = {"mlflow.parentRunId": parent} if parent else {}
        run = self._server.client.create_run(
            self._server.experiment_id, run_name=name, tags={**tags, **parents, KEY: full_key}
        )
        return run.info.run_id

    def _is_logged(self, run: str, part: str) -> bool:
        return f"{LOGGED}.{part}" in self._server.client.get_run(run).data.tags

    def _mark_logged(self, run: str, part: str) -> None:
        self._server.client.set_tag(run, f"{LOGGED}.{part}", "yes")

    def _log(
        self,
        run: str,
        *,
        params: dict[str, Any] | None = None,
        metrics: list[tuple[str, float, int]] | None = None,
    ) -> None:
        from mlflow.entities import Metric, Param

        now = int(time.time() * 1000)
        self._server.client.log_batch(
            run,
            metrics=[Metric(name, value, now, step) for name, value, step in metrics or []],
            params=[Param(name, str(value)) for name, value in (params or {}).items()],
        )


def _curves(history: pd.DataFrame) -> list[tuple[str, float, int]]:
    return [(name, float(row[name]), int(row["step"])) for _, row in history.iterrows() for name in CURVES]


def _metric_name(text: str) -> str:
    """Replace what MLflow does not take in a metric's name."""
    return "".join(letter if letter.isalnum() or letter in "_-. /" else "_" for letter in text)


def _tensorflow_version() -> str:
    import tensorflow as tf

    return tf.__version__


def _without_password(text: str) -> str:
    """Remove users and passwords from the addresses in a text."""
    return re.sub(r"//[^/@\s]+@", "//", text)
