"""From a run to what made it, and from an image to the models that saw it."""

import platform
import subprocess
from collections.abc import Callable

import pandas as pd
import pytest

from unfreeze import files
from unfreeze.errors import UnfreezeError
from unfreeze.paths import Paths
from unfreeze.tracking import traces
from unfreeze.tracking.ledger import Ledger


def test_a_run_leads_to_commit_lock_data_and_environment(copy_of: Callable[[str], Paths]) -> None:
    paths = copy_of("traced")
    ledger = Ledger(paths, "unfreeze")
    ledger.sync(["from_scratch"])
    (trial, *_) = ledger.server.client.search_runs([ledger.server.experiment_id], "tags.`unfreeze.kind` = 'trial'")
    found = traces.trace_run(ledger.server, trial.info.run_id)
    assert found["kind"] == "trial"
    assert found["backbone"] == "from_scratch"
    assert found["dvc_lock_sha256"] == files.hash_file(paths.root / "dvc.lock")
    assert found["data_sha256"] == files.hash_file(paths.manifest)
    assert found["environment"].startswith(f"Python {platform.python_version()}")
    head = git(paths, "rev-parse", "HEAD")
    assert found["lock_commit"] == head
    assert found["commands"] == [f"git checkout {head}", "make install", "dvc pull"]

    # Another commit does not change where the run came from.
    git(paths, "commit", "--allow-empty", "--quiet", "--message", "later")
    assert traces.trace_run(ledger.server, trial.info.run_id)["lock_commit"] == head

    images = pd.read_parquet(paths.manifest).merge(files.read_csv(paths.split), left_on="path", right_on="id")
    for fold in ("train", "val", "test"):
        image = images[images["fold"] == fold].iloc[0]
        (seen,) = traces.find_models_that_saw(ledger.server, image["sha256"])
        assert (seen["backbone"], seen["fold"], seen["label"]) == ("from_scratch", fold, image["label"])
        assert seen["model_sha256"] == files.hash_file(paths.model("from_scratch"))
        assert seen["versions"] == []
    assert traces.find_models_that_saw(ledger.server, "0" * 64) == []

    entry = ledger.complete_entry("from_scratch")
    client = ledger.server.client
    client.create_registered_model("solar")
    source = client.get_logged_model(entry.model_id).artifact_location
    client.create_model_version("solar", source, entry.run_id, model_id=entry.model_id)
    client.set_registered_model_alias("solar", "champion", "1")
    (seen,) = traces.find_models_that_saw(ledger.server, images["sha256"].iloc[0])
    assert seen["versions"] == [{"name": "solar", "version": 1, "aliases": ["champion"]}]

    table = traces.read_folds(ledger.server, entry.study_run_id)
    assert list(table.columns) == ["sha256", "label", "fold"]
    assert table["fold"].value_counts().to_dict() == {"train": 28, "val": 10, "test": 10}

    with pytest.raises(UnfreezeError, match="has no run 'nothing'"):
        traces.trace_run(ledger.server, "nothing")
    other = client.create_run(ledger.server.experiment_id)
    with pytest.raises(UnfreezeError, match="is not a study's"):
        traces.trace_run(ledger.server, other.info.run_id)


def git(paths: Paths, *arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=paths.root, check=True, capture_output=True, text=True)
    return done.stdout.strip()
