"""Real DVC: a corrected label reruns what it changes, and reaches the models, MLflow and the report."""

import json
import re
from dataclasses import dataclass

import pandas as pd
import pytest

from tests.conftest import Checkout, checkout_with_images
from unfreeze import files
from unfreeze.paths import Paths

WHO = ("--reason", "seen under the lens", "--by", "Ann")


@dataclass(frozen=True)
class Corrected:
    """A study, the same one after corrections, and once more after a label was kept.

    Args:
        checkout: As it is at the end.
        relabelled: An image of the test fold that was red and became blue.
        excluded: An image of the training fold.
        folds: The folds before the corrections.
        stages: The stages that ran after each step.
        told: What the second run said.
        record: metrics/study_record.json after the second run.
        report: reports/report.md after the second run.
    """

    checkout: Checkout
    relabelled: str
    excluded: str
    folds: pd.Series
    stages: tuple[set[str], set[str]]
    told: str
    record: str
    report: str

    @property
    def paths(self) -> Paths:
        return self.checkout.paths


def list_run(told: str) -> set[str]:
    return set(re.findall(r"Running stage '([\w@]+)'", told))


@pytest.fixture(scope="module")
def corrected(tmp_path_factory: pytest.TempPathFactory) -> Corrected:
    made = checkout_with_images(tmp_path_factory.mktemp("corrected"), 16)
    made.run("dvc", "repro")
    assert "## Corrections" not in made.paths.report_markdown.read_text()
    folds = files.read_csv(made.paths.split).set_index("id")["fold"]
    of_red = folds[folds.index.str.startswith("red/")]
    relabelled, excluded = of_red[of_red == "test"].index[0], of_red[of_red == "train"].index[0]
    made.run("unfreeze", "correct", relabelled, "--label", "blue", *WHO)
    made.run("unfreeze", "correct", excluded, "--exclude", *WHO)
    told = made.run("dvc", "repro")
    record, report = (path.read_text() for path in (made.paths.study_record, made.paths.report_markdown))
    made.run("unfreeze", "correct", "blue/000.png", "--keep", *WHO)
    kept = made.run("dvc", "repro")
    return Corrected(made, relabelled, excluded, folds, (list_run(told), list_run(kept)), told, record, report)


def test_a_correction_reruns_what_follows_and_a_kept_label_trains_nothing(corrected: Corrected) -> None:
    after, kept = corrected.stages
    assert {"check", "split", "finetune@from_scratch", "evaluate@from_scratch", "corrections", "report"} <= after
    assert "download" not in after
    assert kept == {"check", "suspects", "corrections", "report"}


def test_labels_reach_the_models_and_no_image_moves_to_another_fold(corrected: Corrected) -> None:
    paths = corrected.paths
    rows = pd.read_parquet(paths.manifest).set_index("path")
    assert rows.loc[corrected.relabelled, ["label", "label_given"]].tolist() == ["blue", "red"]
    assert rows.loc[corrected.excluded, ["verdict", "reason"]].tolist() == [
        "excluded",
        "excluded: seen under the lens",
    ]
    folds = files.read_csv(paths.split).set_index("id")["fold"]
    assert folds.to_dict() == corrected.folds.drop(corrected.excluded).to_dict()
    predictions = files.read_csv(paths.predictions("from_scratch")).set_index("id")
    assert predictions.loc[corrected.relabelled, "label"] == "blue"


def test_the_report_says_what_they_changed_on_the_whole_test_fold(corrected: Corrected) -> None:
    images = int((corrected.folds == "test").sum())
    assert "1 image relabelled, 1 excluded, 0 kept" in corrected.told
    assert "## Corrections" in corrected.report
    assert f"on the {images} images in both test folds" in corrected.report
    assert "1 of these had another label then" in corrected.report
    assert "not the only reason" not in corrected.report
    assert re.search(r"\| from_scratch \|.* %.*\([-+]\S+ to [-+]\S+\)", corrected.report)
    # The study with a label more that is kept is compared with the same study.
    assert corrected.paths.study_record.read_text() == corrected.record
    now = json.loads(corrected.paths.report_json.read_text())["corrections"]
    assert now["counts"] == {"relabelled": 1, "excluded": 1, "kept": 1, "unfit": []}
    assert now["comparison"]["effects"][0]["backbone"] == "from_scratch"
    assert 'id="corrections"' in corrected.paths.report_html.read_text()
    assert "seen under the lens" in corrected.paths.findings_page.read_text()


def test_mlflow_and_seen_tell_of_them(corrected: Corrected) -> None:
    import mlflow

    shown = corrected.checkout.run("unfreeze", "seen", f"data/raw/{corrected.relabelled}", "--json")
    models = json.loads(shown[: shown.rindex("]") + 1])
    assert [(model["label"], model["label_given"]) for model in models] == [("blue", "red"), ("red", None)]
    assert "checks/corrections.csv: relabel blue (seen under the lens; Ann, " in shown
    client = mlflow.MlflowClient(f"sqlite:///{corrected.paths.mlflow_database}")
    experiment = client.get_experiment_by_name("unfreeze")
    assert experiment is not None
    last, first = client.search_runs([experiment.experiment_id], "tags.`unfreeze.kind` = 'study'")
    assert last.data.tags["corrections"] == "1 image relabelled, 1 excluded, 1 kept"
    assert last.data.metrics["corrections_relabelled"] == 1
    assert "from_scratch gain by corrections" in last.data.metrics
    assert "corrections" not in first.data.tags
    assert {one.path for one in client.list_artifacts(last.info.run_id, "data")} >= {"data/corrections.csv"}


def test_a_malformed_file_ends_the_run_with_the_line(corrected: Corrected) -> None:
    path = corrected.paths.corrections
    before = path.read_text()
    try:
        path.write_text(before.replace("relabel,blue", "relabel,"))
        done = corrected.checkout.try_run("unfreeze", "check")
        assert done.returncode == 1
        assert re.search(r"error: checks/corrections.csv: line \d: label is empty: relabel needs", done.stderr)
    finally:
        path.write_text(before)
