"""Promotion from end to end: real models, a real store, real git and DVC."""

import http.server
import json
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Checkout
from tests.release.conftest import Released, copied
from tests.tracking import registered
from unfreeze import files
from unfreeze.errors import UnfreezeError
from unfreeze.release import promotion
from unfreeze.release.promotion import NotComparable


def test_without_a_champion_the_line_names_the_remedy_and_the_challenger_is_registered(
    studied: Checkout, tmp_path: Path
) -> None:
    made = copied(studied, tmp_path / "checkout")
    with pytest.raises(NotComparable, match='no champion yet: .*`unfreeze promote --force "first champion"`') as told:
        made.promote()
    assert "\n" not in str(told.value)
    assert made.champion is None
    (version,) = made.registry.list_versions()
    assert version.aliases == ("challenger",)
    assert version.tags["backbone"] == files.read_json(made.paths.verdict)["verdict"]["best"]
    assert version.tags["dvc_lock_sha256"] == files.hash_file(made.paths.dvc_lock)


def test_the_first_champion_is_forced_and_the_reason_is_recorded(released: Released) -> None:
    assert released.champion == 1
    (moved,) = released.registry.list_transitions()
    assert moved.reason == "forced: first champion"
    (run,) = [run for run in released.runs("judgement") if run.data.tags["verdict"] == "not comparable"]
    assert run.info.run_id == moved.judgement


def test_a_better_challenger_is_judged_promoted_and_recorded_with_its_numbers(released: Released) -> None:
    result = released.promote()
    assert result.verdict == "promote"
    assert result.promoted
    assert released.champion == 2
    assert result.challenger.accuracy > result.champion.accuracy == 0.5
    assert result.difference.low > -released.params.promote.margin
    assert result.images == 10
    assert set(result.classes) == {"red", "blue"}
    assert all(flip.better for flip in result.flips)
    run = released.registry.server.client.get_run(result.run_id)
    assert run.data.metrics["difference_low"] == result.difference.low
    assert run.data.metrics["champion_accuracy"] == 0.5
    assert run.data.params["margin"] == "0.01"
    version = next(one for one in released.registry.list_versions() if one.number == 2)
    assert version.tags["verdict"] == "promote"
    assert version.tags["verdict_run"] == result.run_id
    assert version.aliases == ("champion",)


def test_the_same_question_is_answered_from_the_record_and_nothing_looks_at_the_test_fold_again(
    released: Released, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = promotion.judge(released.params, released.paths)

    def look(*_: Any) -> None:
        raise AssertionError("the test fold was opened again")

    monkeypatch.setattr("unfreeze.release.scoring.score_models", look)
    assert promotion.judge(released.params, released.paths) == result
    changed = released.params.promote.model_copy(update={"margin": 0.02})
    with pytest.raises(AssertionError, match="opened again"):
        promotion.judge(released.params.model_copy(update={"promote": changed}), released.paths)


def test_a_challenger_that_breaks_a_limit_is_kept_out_but_a_person_can_force_it(released: Released) -> None:
    limit = released.params.promote.model_copy(update={"max_size_mb": 0.001})
    strict = Released(released.paths, released.params.model_copy(update={"promote": limit}))
    result = strict.promote()
    assert result.verdict == "keep"
    assert not result.promoted
    assert "MB, more than the 0.001 MB allowed" in result.text
    assert strict.champion == 1
    forced = strict.promote(force="it runs on a server")
    assert forced.verdict == "keep"
    assert forced.promoted
    assert strict.champion == 2
    assert strict.registry.list_transitions()[-1].reason == "forced: it runs on a server"


def test_the_champion_itself_is_kept_without_a_look(released: Released) -> None:
    result = released.promote("mobilenetv2")
    assert result.text == "keep: version 1 is the champion already"
    assert not result.promoted
    assert len(released.registry.list_transitions()) == 1


def test_a_verdict_is_applied_once_and_not_again_after_a_rollback(released: Released) -> None:
    verdict = promotion.judge(released.params, released.paths)
    assert promotion.apply(released.params, released.paths, verdict).promoted
    assert not promotion.apply(released.params, released.paths, verdict).promoted
    assert released.champion == 2
    back = promotion.rollback(released.params, released.paths)
    assert (back["from"], back["to"]) == (2, 1)
    assert not promotion.apply(released.params, released.paths, verdict).promoted
    assert not released.promote().promoted
    assert released.champion == 1
    assert released.promote(force="the fault was elsewhere").promoted
    assert released.champion == 2


def test_a_verdict_against_a_champion_that_was_replaced_is_not_applied(released: Released) -> None:
    verdict = promotion.judge(released.params, released.paths)
    third = registered.register(released.registry, "of someone else")
    released.registry.promote(third.number, expected=1, reason="better")
    with pytest.raises(UnfreezeError, match="another promotion won: version 3 is champion now; run again"):
        promotion.apply(released.params, released.paths, verdict)
    assert released.champion == 3


def test_rollback_without_a_version_before_is_one_line(released: Released) -> None:
    with pytest.raises(UnfreezeError, match="version 1 is the first champion"):
        promotion.rollback(released.params, released.paths)


def test_versions_lists_the_newest_first_with_aliases_verdicts_and_lineage(released: Released) -> None:
    released.promote()
    second, first = promotion.list_versions(released.params, released.paths)
    assert (second["version"], second["aliases"], second["verdict"]) == (2, ["champion"], "promote")
    assert (first["version"], first["aliases"], first["backbone"]) == (1, [], "mobilenetv2")
    assert first["transitions"][0]["reason"] == "forced: first champion"
    assert {"dvc_lock_sha256", "data_sha256", "weights_sha256", "environment"} <= set(second["tags"])


def test_versions_say_what_their_packages_hold(released: Released) -> None:
    (_, first) = promotion.list_versions(released.params, released.paths)
    described = files.read_json(released.paths.packed("mobilenetv2") / "model.json")
    assert float(first["temperature"]) == pytest.approx(described["temperature"], rel=1e-5)
    assert float(first["unsure_below"]) == pytest.approx(described["unsure"]["lowest"], rel=1e-5)
    limits = described["unlike"]
    assert first["unlike_beyond"] == f"cosine {limits['cosine']:.6g}, Euclidean {limits['euclidean']:.6g}"
    said = json.loads(first["tags"]["example_probabilities"])
    assert sum(said.values()) == pytest.approx(1, abs=1e-4)


def test_a_champion_of_an_older_unfreeze_which_has_no_package_is_judged_by_its_keras_file(released: Released) -> None:
    client, changed = released.registry.server.client, {"margin": 0.02}
    client.delete_model_version_tag("unfreeze", "1", "package_sha256")
    params = released.params.model_copy(update={"promote": released.params.promote.model_copy(update=changed)})
    result = promotion.judge(params, released.paths)
    assert result.verdict == "promote"
    assert result.challenger.size_mb == released.paths.model("from_scratch").stat().st_size / 1e6


def test_a_champion_trained_on_other_classes_is_not_compared(released: Released) -> None:
    registry = released.registry
    registry.tag(1, {"classes": '["cat", "dog", "owl"]'})
    with pytest.raises(
        NotComparable, match=r"version 1 was trained on cat, dog, owl \(3 classes\).*blue, red.*--force"
    ):
        released.promote()
    assert released.champion == 1
    assert released.promote(force="the classes changed").verdict == "not comparable"
    assert released.champion == 2


def test_a_test_fold_that_holds_the_champions_training_images_is_not_scored(released: Released) -> None:
    registry = released.registry
    (version,) = [one for one in registry.list_versions() if one.number == 1]
    study = version.tags["study_run"]
    folds = Path(registry.server.client.download_artifacts(study, "data/folds.csv")).read_text()
    changed = folds.replace(",test", ",TRAIN").replace(",train", ",test").replace(",TRAIN", ",train")
    registry.server.client.log_text(study, changed, "data/folds.csv")
    try:
        with pytest.raises(NotComparable, match=r"10 of 10 test images were in .* split\.method=stable.*--force"):
            released.promote()
    finally:
        registry.server.client.log_text(study, folds, "data/folds.csv")
    assert released.champion == 1


@contextmanager
def edited(path: Path, change: Callable[[str], str], *, commit: bool = False) -> Iterator[None]:
    """Change a file while the block runs, and commit it if asked to."""
    before = path.read_text()
    git = ["git", "-c", "user.email=t@example.org", "-c", "user.name=t"]
    path.write_text(change(before))
    if commit:
        subprocess.run([*git, "commit", "--quiet", "-am", "changed"], cwd=path.parent, check=True)
    try:
        yield
    finally:
        path.write_text(before)
        if commit:
            subprocess.run([*git, "reset", "--quiet", "HEAD~1"], cwd=path.parent, check=True)


@pytest.mark.parametrize("force", [None, "I know"])
def test_a_dirty_work_tree_promotes_nothing(released: Released, force: str | None) -> None:
    with (
        edited(released.paths.params, lambda text: text + "\n# changed\n"),
        pytest.raises(UnfreezeError, match=r"differs from its commit in params\.yaml,.*commit or undo"),
    ):
        released.promote(force=force)
    assert released.champion == 1


@pytest.mark.parametrize("force", [None, "I know"])
def test_a_lock_that_does_not_match_promotes_nothing(released: Released, force: str | None) -> None:
    with (
        edited(released.paths.waivers, lambda text: text + "\n# changed\n", commit=True),
        pytest.raises(UnfreezeError, match=r"dvc\.lock does not match check, .*run `dvc repro`"),
    ):
        released.promote(force=force)
    assert released.champion == 1


def test_a_lock_with_a_merge_conflict_promotes_nothing(released: Released) -> None:
    def conflict(text: str) -> str:
        return "<<<<<<< ours\n" + text + "=======\n>>>>>>> theirs\n"

    with (
        edited(released.paths.dvc_lock, conflict, commit=True),
        pytest.raises(UnfreezeError, match=r"dvc\.lock.*merge conflict.*line 1: .*git checkout") as told,
    ):
        released.promote()
    assert "\n" not in str(told.value)
    assert released.champion == 1


@pytest.mark.parametrize("reason", ["", "  "])
def test_force_needs_a_reason(released: Released, reason: str) -> None:
    with pytest.raises(UnfreezeError, match="--force was given no reason"):
        released.promote(force=reason)


@contextmanager
def answering(status: int, text: str) -> Iterator[str]:
    """Give the address of a server that gives one answer to all."""

    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()
            self.wfile.write(text.encode())

        do_POST = do_GET  # noqa: N815

        def log_message(self, *_: Any) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize(
    ("status", "text", "told"),
    [
        (200, "2.9.2", "is MLflow 2.9.2, and 3.0 or later is needed: upgrade that server"),
        (401, "who are you", "does not know this user or password; set MLFLOW_TRACKING_USERNAME"),
    ],
)
def test_a_server_that_is_too_old_or_refuses_the_password_promotes_nothing(
    released: Released, monkeypatch: pytest.MonkeyPatch, status: int, text: str, told: str
) -> None:
    with answering(status, text) as address:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
        for command in (released.promote, lambda: promotion.rollback(released.params, released.paths)):
            with pytest.raises(UnfreezeError, match=told) as error:
                command()
            assert "\n" not in str(error.value)
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    assert released.champion == 1


def test_a_server_out_of_reach_promotes_nothing(released: Released, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    with pytest.raises(UnfreezeError, match="MLflow at http://127.0.0.1:9 failed"):
        released.promote()
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    assert released.champion == 1
