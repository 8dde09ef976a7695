"""Real DVC and real MLflow over a small study: what a user sees after `dvc repro`."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest
import yaml

from tests.conftest import INSTALLED, PROJECT, SETTINGS, Checkout, draw
from unfreeze import files
from unfreeze.cli.stages import run_stage
from unfreeze.errors import UnfreezeError
from unfreeze.evaluation import calibration
from unfreeze.images import store


def test_every_promised_file_is_there(studied: Checkout) -> None:
    paths = studied.paths
    for name in ("mobilenetv2", "from_scratch"):
        for path in (
            paths.weights(name), paths.features(name), paths.search(name), paths.model(name), paths.history(name),
            paths.evaluation(name), paths.predictions(name), paths.backbone_chart(name, "confusion"),
            paths.mistakes(name), paths.mistakes_picture(name), paths.selftest(name),
            paths.learning_curve(name), paths.cost(name),
        ):  # fmt: skip
            assert path.stat().st_size, path
    assert paths.report_html.read_text().startswith("<!doctype html>")
    assert {path.parent.name for path in paths.data_docs.glob("*/index.html")} >= {"manifest", "images", "split"}


def test_an_export_changes_the_report_alone(studied: Checkout) -> None:
    assert json.loads(studied.run("dvc", "status", "--json").splitlines()[-1]) == {}
    path = studied.paths.exports("from_scratch")
    files.write_json(path, {"backbone": "from_scratch", "model_sha256": "0" * 64, "formats": []})
    try:
        assert list(json.loads(studied.run("dvc", "status", "--json").splitlines()[-1])) == ["report"]
    finally:
        path.unlink()


def test_the_from_scratch_cnn_learns_red_from_blue(studied: Checkout) -> None:
    assert json.loads(studied.paths.evaluation("from_scratch").read_text())["accuracy"] > 0.8


@pytest.mark.parametrize("backbone", ["mobilenetv2", "from_scratch"])
def test_the_saved_model_gives_calibrated_probabilities_from_pixels(studied: Checkout, backbone: str) -> None:
    from unfreeze.models.scorer import Scorer

    paths = studied.paths
    images = store.describe(paths.images)
    val = images.find_rows(files.read_csv(paths.split), "val")
    said = Scorer(paths.model(backbone), paths.images, SETTINGS.extract).predict(val, "validation images")
    temperature = files.read_json(paths.training(backbone))["temperature"]
    assert calibration.fit_temperature(images.labels[val], said) == pytest.approx(1, rel=0.02)
    assert files.read_json(paths.evaluation(backbone))["calibration"]["temperature"] == temperature


def test_where_nothing_changed_no_stage_runs(studied: Checkout) -> None:
    shown = studied.run("dvc", "repro")
    assert "up to date" in shown
    assert "Running stage" not in shown


def test_a_forced_run_changes_nothing(edited: Checkout) -> None:
    before = lock_without_times(edited)
    # One backbone's stages with the network: the other goes through the same code, and tests/stages/test_extract.py
    # runs those before. In processes that share nothing.
    again = [f"{name}@mobilenetv2" for name in ("extract", "search", "finetune", "package", "evaluate")]
    edited.run("dvc", "repro", "--force", "--single-item", *again, PATH=INSTALLED)
    assert lock_without_times(edited) == before


# What shows how long something took.
CHANGING = re.compile(r"metrics/(cost|training_time)/.*|plots/system/.*")


def lock_without_times(studied: Checkout) -> dict[str, Any]:
    """Return dvc.lock without what differs from run to run."""
    lock = yaml.safe_load((studied.root / "dvc.lock").read_text())
    for stage in lock["stages"].values():
        stage["outs"] = [out for out in stage["outs"] if not CHANGING.fullmatch(out["path"])]
    return lock


def test_each_model_counts_once_on_the_test_fold_however_often_it_is_scored(edited: Checkout) -> None:
    folder = edited.paths.test_evaluations
    before = sorted(path.name for path in folder.glob("*/*.json"))
    models = [edited.paths.model(name) for name in ("from_scratch", "mobilenetv2")]
    assert before == sorted(f"{files.hash_file(model)}.json" for model in models)
    edited.run("dvc", "repro", "--force", "--single-item", "evaluate@from_scratch")
    assert sorted(path.name for path in folder.glob("*/*.json")) == before
    assert json.loads(edited.paths.report_json.read_text())["test_evaluations"] == {"models": 2, "earlier": 0}
    assert "First look at this test fold" in edited.paths.report_markdown.read_text()


def test_evaluate_is_restored_from_the_run_cache_and_nothing_is_lost(edited: Checkout) -> None:
    evaluation = edited.paths.evaluation("from_scratch")
    before = evaluation.read_bytes()
    evaluation.unlink()
    ledger = sorted(edited.paths.test_evaluations.glob("*/*.json"))
    for path in ledger:
        path.unlink()
    told = edited.run("dvc", "repro")
    assert "Stage 'evaluate@from_scratch' is cached - skipping run" in told
    assert evaluation.read_bytes() == before
    assert sorted(edited.paths.test_evaluations.glob("*/*.json")) == ledger


def test_people_and_machines_can_ask(studied: Checkout) -> None:
    verdict = json.loads(studied.run("unfreeze", "compare", "--json"))
    best = verdict["rows"][0]["backbone"]
    assert verdict["verdict"]["best"] == best
    assert json.loads(studied.run("unfreeze", "show", best, "--json"))["backbone"] == best
    shown = json.loads(studied.run("unfreeze", "mistakes", best, "--json"))
    assert {row["kind"] for row in shown} <= {"mistake", "doubtful"}
    for command in (["compare"], ["show", best], ["mistakes", best]):
        assert best in studied.run("unfreeze", *command)
    params = studied.paths.params
    before = params.read_text()
    params.write_text(f"{before}# of the next study\n")
    warned = studied.try_run("unfreeze", "compare").stderr
    params.write_text(before)
    assert "results of the last finished study; params.yaml changed since" in warned
    assert "last finished study" not in studied.try_run("unfreeze", "compare").stderr
    record = studied.paths.evaluation(best)
    kept = record.read_bytes()
    # As DVC does where a study of other backbones begins.
    record.unlink()
    for command in (["compare"], ["show", best], ["mistakes", best]):
        done = studied.try_run("unfreeze", *command)
        assert done.stderr.startswith(
            f"error: metrics/evaluate/{best}.json is missing, as where another study was begun"
        )
        assert len(done.stderr.splitlines()) == 1
    record.write_bytes(kept)
    done = studied.try_run("unfreeze", "show", "vgg61")
    assert done.returncode == 1
    assert "backbone 'vgg61' is not in the last study: take one of" in done.stderr


def test_dvc_shows_the_pipeline_its_metrics_and_plots(studied: Checkout, tmp_path: Path) -> None:
    assert "finetune@mobilenetv2" in studied.run("dvc", "dag")
    assert "accuracy" in studied.run("dvc", "metrics", "show")
    shown = studied.run("dvc", "plots", "show", "--out", str(tmp_path))
    assert "index.html" in shown
    page = (tmp_path / "index.html").read_text()
    assert "mobilenetv2_confusion.png" in page


def test_folds_share_no_image_and_evaluate_alone_reads_the_test_fold(studied: Checkout) -> None:
    import h5py

    folds = pd.read_csv(studied.paths.split)
    counts = folds["fold"].value_counts().to_dict()
    assert counts == {"train": 28, "val": 10, "test": 10}
    with h5py.File(studied.paths.features("mobilenetv2")) as cached:
        assert len(cached["train"]) == counts["train"]
        assert len(cached["val"]) == counts["val"]
    predicted = pd.read_csv(studied.paths.predictions("mobilenetv2"))
    assert set(predicted["id"]) == set(folds.loc[folds["fold"] == "test", "id"])


def test_the_lock_names_no_path_of_this_machine_but_the_source(studied: Checkout) -> None:
    lock = (studied.root / "dvc.lock").read_text()
    assert str(studied.root) not in lock


def test_a_rate_or_a_head_never_extracts_again(studied: Checkout) -> None:
    studied.change_params(search={"max_trials": 3})
    planned = studied.run("dvc", "status")
    studied.run("git", "checkout", "params.yaml")
    assert "search@mobilenetv2" in planned
    assert "extract@mobilenetv2" not in planned


PICTURES = (
    "confusion", "corruptions", "history", "learning_curve", "mistakes", "precision_recall", "reliability",
    "risk_coverage", "roc", "search",
)  # fmt: skip


@pytest.fixture(scope="module")
def client(studied: Checkout) -> mlflow.MlflowClient:
    return mlflow.MlflowClient(f"sqlite:///{studied.root}/mlflow.db")


def runs(client: mlflow.MlflowClient) -> dict[str, list[mlflow.entities.Run]]:
    experiment = client.get_experiment_by_name("unfreeze")
    assert experiment is not None
    found: dict[str, list[mlflow.entities.Run]] = {}
    for run in client.search_runs([experiment.experiment_id], max_results=500):
        found.setdefault(run.info.run_name or "", []).append(run)
    return found


def test_mlflow_has_a_study_its_backbones_phases_and_trials(client: mlflow.MlflowClient) -> None:
    found = runs(client)
    (study,) = found["quick folder"]
    for backbone in ("mobilenetv2", "from_scratch"):
        (child,) = found[backbone]
        assert child.data.tags["mlflow.parentRunId"] == study.info.run_id
        names = {
            run.info.run_name
            for group in found.values()
            for run in group
            if run.data.tags.get("mlflow.parentRunId") == child.info.run_id
        }
        expected = {"head", "fine-tuning", f"{backbone} trial 0", f"{backbone} trial 1"}
        assert names == (expected if backbone == "mobilenetv2" else expected - {"head"})
        assert child.info.status == "FINISHED"


def test_a_backbones_run_is_complete(client: mlflow.MlflowClient, studied: Checkout) -> None:
    (run,) = runs(client)["mobilenetv2"]
    history = client.get_metric_history(run.info.run_id, "val_loss")
    assert sorted(point.step for point in history) == [1, 2, 3]
    result = json.loads(studied.paths.evaluation("mobilenetv2").read_text())
    assert run.data.metrics["test_accuracy"] == result["accuracy"]
    assert "test_recall/red" in run.data.metrics
    assert run.data.params["weights"] == "random"
    assert run.data.params["train.head.epochs"] == "2"
    assert run.data.params["unfreeze_from"] in ("none", "block_16_expand")
    assert len(run.data.tags["mlflow.source.git.commit"]) == 40
    assert len(run.data.tags["data_sha256"]) == 64
    pictures = {item.path for item in client.list_artifacts(run.info.run_id, "plots")}
    assert pictures == {f"plots/mobilenetv2_{name}.png" for name in PICTURES}


def test_the_logged_model_serves_the_pipelines_probabilities(client: mlflow.MlflowClient, studied: Checkout) -> None:
    import h5py

    experiment = client.get_experiment_by_name("unfreeze")
    assert experiment is not None
    models = client.search_logged_models([experiment.experiment_id])
    model = next(model for model in models if model.name == "mobilenetv2")
    loaded = mlflow.pyfunc.load_model(model.artifact_location)
    assert loaded.metadata.signature is not None
    assert loaded.input_example is not None
    predictions = pd.read_csv(studied.paths.predictions("mobilenetv2"))
    with h5py.File(studied.paths.images) as images:
        row = [name.decode() for name in images["ids"]].index(predictions["id"][0])
        served = loaded.predict(images["images"][row : row + 1])[["p_blue", "p_red"]].to_numpy(dtype=float)
    expected = predictions.loc[0, ["p_blue", "p_red"]].to_numpy(dtype=float)
    np.testing.assert_allclose(served[0], expected, atol=1e-5)


def test_the_readmes_lines_give_the_pipelines_probabilities(studied: Checkout) -> None:
    code = (PROJECT / "README.md").read_text().split("```python")[1].split("```")[0]
    predictions = pd.read_csv(studied.paths.predictions("from_scratch"))
    image = studied.paths.raw / predictions["id"][0]
    code = code.replace("models/xception.keras", "models/from_scratch.keras").replace("photo.jpg", str(image))
    shown = studied.run(sys.executable, "-c", code.replace("print(", "print('probabilities', "))
    found = np.array(re.findall(r"probabilities \[\[\s*(\S+)\s+(\S+?)\s*\]\]", shown)[0], dtype=float)
    np.testing.assert_allclose(found, predictions.loc[0, ["p_blue", "p_red"]].to_numpy(dtype=float), atol=1e-5)


def test_an_experiment_is_run_and_shown(edited: Checkout, make_images: Callable[..., Path], tmp_path: Path) -> None:
    images = make_images(tmp_path / "other", classes=3)
    settings = [
        "data=folder",
        f"data.source={images}",
        "study.backbones=[from_scratch]",
        "preprocess.image_size=40",
        "search.enabled.default=false",
        "train.finetune.from_scratch.epochs=2",
    ]
    overrides = [part for setting in settings for part in ("-S", setting)]
    edited.run("dvc", "exp", "run", "--name", "three-colours", *overrides, "evaluate@from_scratch")
    result = json.loads(edited.paths.evaluation("from_scratch").read_text())
    assert len(result["classes"]) == 3
    shown = edited.run("dvc", "exp", "show", "--md", "--drop", ".*", "--keep", "Experiment|.*:accuracy")
    assert "three-colours" in shown
    assert "metrics/evaluate/from_scratch.json:accuracy" in shown


def stage(checkout: Checkout, *arguments: str, **environment: str) -> str:
    """Run a stage that must fail; return its last line."""
    done = checkout.try_run("unfreeze", *arguments, **environment)
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr.strip().splitlines()[-1]


def test_a_missing_source_ends_the_run_before_anything(checkout: Checkout) -> None:
    checkout.compose("data=folder", "data.source=/no/such/folder")
    done = checkout.try_run("dvc", "repro")
    assert done.returncode != 0
    assert "error: data.source /no/such/folder does not exist: give the folder that holds" in done.stderr
    assert not checkout.paths.raw.exists()


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["study.backbones=[xceptoin]"], "unknown backbone 'xceptoin'"),
        (
            ["+promote.floors={acuracy: 0.9}"],
            "promote.floors names acuracy, which is no metric: take some of accuracy",
        ),
        (
            ["study.backbones=[xception]", "preprocess.image_size=64"],
            "image_size 64 is under xception's smallest, 71",
        ),
        (["+weights.vgg61=random"], "unknown backbone 'vgg61'"),
        (["+train.finetune.vgg61={epochs: 3}"], "unknown backbone 'vgg61'"),
        (["+search.enabled.vgg61=false"], "unknown backbone 'vgg61'"),
    ],
)
def test_params_are_checked_before_anything_runs(checkout: Checkout, overrides: list[str], message: str) -> None:
    checkout.compose("preprocess.image_size=80", *overrides)
    assert message in stage(checkout, "validate")


def test_an_unknown_parameter_stops_dvc(checkout: Checkout) -> None:
    checkout.change_params(serach={"epochs": 1})
    done = checkout.try_run("dvc", "repro")
    assert done.returncode != 0
    assert "serach: unknown parameter, did you mean 'search'?" in done.stderr


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda images: [path.unlink() for path in sorted((images / "blue").iterdir())[3:]], r"fewer than 10"),
        (lambda images: (images / "red/broken.png").write_bytes(b"\x89PNG\r\n"), "red/broken.png"),
        (lambda images: (images / "red/page.png").write_text("<html>"), "red/page.png"),
        (lambda images: shutil.copy(images / "red/001.png", images / "blue/copy.png"), "under two labels"),
    ],
)
def test_bad_images_are_named(
    checkout: Checkout, tmp_path: Path, make_images: Callable[..., Path], spoil: Callable[[Path], None], message: str
) -> None:
    images = make_images(tmp_path / "images")
    spoil(images)
    params = checkout.compose("data=folder", f"data.source={images}")
    for name in ("validate", "download"):
        run_stage(name, params, checkout.paths)
    with pytest.raises(UnfreezeError, match=message) as caught:
        run_stage("check", params, checkout.paths)
    assert "\n" not in str(caught.value)


def test_one_class_is_refused_before_images_are_copied(
    checkout: Checkout, tmp_path: Path, make_images: Callable[..., Path]
) -> None:
    images = make_images(tmp_path / "images", classes=1)
    params = checkout.compose("data=folder", f"data.source={images}")
    with pytest.raises(UnfreezeError, match="all images lie in 'red', so not at least two classes"):
        run_stage("download", params, checkout.paths)
    assert not checkout.paths.raw.exists()


def test_a_bad_image_ends_the_run_and_keeps_what_was_done(
    checkout: Checkout, tmp_path: Path, make_images: Callable[..., Path]
) -> None:
    images = make_images(tmp_path / "images")
    (images / "red/broken.png").write_bytes(b"\x89PNG\r\n")
    checkout.compose("data=folder", f"data.source={images}")
    done = checkout.try_run("dvc", "repro")
    assert done.returncode != 0
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert "red/broken.png" in line
    assert checkout.paths.raw_index.exists()
    assert not checkout.paths.images.exists()


def test_quarantine_leaves_bad_images_out_and_says_so(
    checkout: Checkout, tmp_path: Path, make_images: Callable[..., Path]
) -> None:
    images = make_images(tmp_path / "images")
    (images / "red/broken.png").write_bytes(b"\x89PNG\r\n")
    checkout.compose("data=folder", f"data.source={images}", "checks.on_bad=quarantine")
    shown = checkout.run("dvc", "repro", "split")
    assert "images cannot be read (red/broken.png)" in shown
    assert "red/broken.png" in checkout.paths.findings_page.read_text()
    assert len(pd.read_csv(checkout.paths.split)) == 32


def test_a_full_disk_leaves_no_half_written_store(
    checkout: Checkout, tmp_path: Path, make_images: Callable[..., Path]
) -> None:
    images = make_images(tmp_path / "images", images=40)
    checkout.compose("data=folder", f"data.source={images}", "preprocess.image_size=160")
    checkout.run("dvc", "repro", "split")
    before = set(checkout.paths.images.parent.iterdir())
    checkout.paths.images.unlink(missing_ok=True)
    # No file may grow over 1 MB: to the program the same as a disk that is full.
    limited = (
        "import resource, signal, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20)); "
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); from unfreeze.cli.main import main; main(['preprocess'])"
    )
    done = checkout.try_run(sys.executable, "-c", limited)
    assert done.returncode == 1
    assert "error: no space left to write" in done.stderr, done.stderr
    assert "dvc repro" in done.stderr
    assert set(checkout.paths.images.parent.iterdir()) <= before


def test_a_second_run_at_the_same_time_is_refused(
    checkout: Checkout, tmp_path: Path, make_images: Callable[..., Path]
) -> None:
    images = make_images(tmp_path / "images", images=200)
    checkout.compose("data=folder", f"data.source={images}")
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    with subprocess.Popen(
        ["dvc", "repro", "split"], cwd=checkout.root, env={**os.environ, "PATH": path},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    ) as first:  # fmt: skip
        assert first.stdout is not None
        for line in first.stdout:
            if "Running stage 'check'" in line:
                break
        second = checkout.try_run("dvc", "repro", "check")
        assert second.returncode != 0
        assert "busy" in second.stderr or "lock" in second.stderr
        first.stdout.read()
        assert first.wait(120) == 0


def test_a_killed_stage_leaves_nothing_half_written_and_the_next_run_goes_on(
    checkout: Checkout, tmp_path: Path, make_images: Callable[..., Path]
) -> None:
    images = make_images(tmp_path / "images", images=150, side=200)
    checkout.compose("data=folder", f"data.source={images}", "preprocess.image_size=160")
    checkout.run("dvc", "repro", "check")
    with subprocess.Popen(
        [Path(sys.executable).parent / "unfreeze", "preprocess"],
        cwd=checkout.root,
        env={**os.environ, "PYTHONPATH": str(checkout.root / "src")},
        start_new_session=True,
    ) as running:
        while not list(checkout.paths.images.parent.glob(".partial-*")):
            assert running.poll() is None, "it ended before it could be killed"
            time.sleep(0.01)
        os.killpg(running.pid, signal.SIGKILL)
    assert not checkout.paths.images.exists()
    shown = checkout.run("dvc", "repro", "preprocess")
    assert "Stage 'check' didn't change, skipping" in shown
    assert checkout.paths.images.exists()


def test_a_replaced_image_is_noticed(checkout: Checkout, tmp_path: Path, make_images: Callable[..., Path]) -> None:
    images = make_images(tmp_path / "images")
    checkout.compose("data=folder", f"data.source={images}")
    checkout.run("dvc", "repro", "check")
    before = pd.read_parquet(checkout.paths.manifest)
    draw((170, 80, 80), 999).save(images / "red/000.png")
    checkout.run("dvc", "repro", "check")
    after = pd.read_parquet(checkout.paths.manifest)
    changed = before.loc[before["sha256"] != after["sha256"], "path"].tolist()
    assert changed == ["red/000.png"]


def test_weights_out_of_reach_say_what_to_do_and_keep_what_is_done(checkout: Checkout, tmp_path: Path) -> None:
    checkout.compose("study.backbones=[mobilenetv2]")
    (tmp_path / "keras").mkdir()
    line = stage(
        checkout, "pretrained", "mobilenetv2", KERAS_HOME=str(tmp_path / "keras"), https_proxy="http://127.0.0.1:9"
    )
    assert "Keras could not download" in line
    assert "+weights.mobilenetv2=random" in line
    assert not checkout.paths.weights("mobilenetv2").exists()
