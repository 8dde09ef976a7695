"""The loop with real git, DVC and MLflow: new data is learnt, judged, proposed, promoted."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.ci.github import TOKEN
from tests.ci.world import World, first_images, populate, track, world

pytestmark = pytest.mark.xdist_group("loop")

STEPS = (
    "preflight", "verify", "pull", "repro", "sync", "judge", "push", "branch", "pull request", "promote",
)  # fmt: skip
# Nothing is written anywhere before the first of them.
KILLED = STEPS[STEPS.index("pull") :]
# After a kill here the next attempt goes on in the same checkout, as where cron runs it; after others in a new clone.
KEPT = {"sync", "judge", "push", "branch"}
# What shows how long something took or when it was, and what is made from it.
OF_TIME = re.compile(r"metrics/(cost|training_time)/.*|reports/(index|report).*|plots/system/.*|dvc.lock")


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Return a world with a champion, to which a data change has come, beside a copy of it to disturb."""
    root = tmp_path_factory.mktemp("loop") / "undisturbed"
    with world(root) as made:
        populate(made)
        other = root.with_name("disturbed")
        shutil.copytree(root, other, ignore=shutil.ignore_patterns("cache", "work"))
        # One cache for all, as a CI service keeps it from job to job.
        (other / "cache").symlink_to(root / "cache")
        yield made


@pytest.fixture(scope="module")
def retrained(begun: World) -> World:
    """Return the world in which the loop has run once, and was never killed."""
    done = begun.retrain(begun.clone("job"))
    assert done.returncode == 0, done.stderr[-4000:]
    (begun.root / "told").write_text(done.stdout + done.stderr)
    return begun


@pytest.fixture(scope="module")
def undisturbed(retrained: World) -> dict[str, Any]:
    """Return the state that a loop ends in which was never killed."""
    return end_of(retrained)


@pytest.fixture(scope="module", autouse=True)
def disturbed(begun: World, undisturbed: dict[str, Any]) -> Iterator[Future[dict[str, Any]]]:
    """Kill each step once in another copy of the world, beside the tests that need only the first."""
    with ThreadPoolExecutor(1) as beside:
        yield beside.submit(kill_each_step, begun.root.with_name("disturbed"))


def kill_each_step(root: Path) -> dict[str, Any]:
    """Return the state that a loop ends in whose steps were each killed once."""
    with world(root) as made:
        job = made.clone("0")
        for number, step in enumerate(KILLED, start=1):
            made.killed_at(job, step)
            if step not in KEPT:
                job = made.clone(str(number))
        done = made.retrain(job)
        assert done.returncode == 0, done.stderr[-4000:]
        return end_of(made)


def end_of(made: World) -> dict[str, Any]:
    """Return all that the loop leaves behind, but for what tells a time."""
    outs = outs_of(made)
    held = {path for path, digest in outs.items() if (made.remote / "files/md5" / digest[:2] / digest[2:]).exists()}
    in_git = set(made.git("ls-tree", "-r", "--name-only", branch_of(made)).splitlines())
    return {
        "tree": tree_of(made),
        "outputs": outs,
        "lost": set(outs) - held - in_git,
        "registry": registry_of(made),
        "pull requests": [pull["title"] for pull in made.hub.pulls],
    }


def branch_of(made: World) -> str:
    return f"retrain/{made.git('rev-parse', 'main')[:12]}"


def lock_of(made: World) -> Any:
    return yaml.safe_load(made.git("show", f"{branch_of(made)}:dvc.lock"))


def tree_of(made: World) -> dict[str, str]:
    """Return the files of the branch by digest, but for those that tell a time."""
    listed = made.git("ls-tree", "-r", branch_of(made)).splitlines()
    return {line.split("\t")[1]: line.split()[2] for line in listed if not OF_TIME.fullmatch(line.split("\t")[1])}


def outs_of(made: World) -> dict[str, str]:
    stages = lock_of(made)["stages"].values()
    return {
        out["path"]: out["md5"] for stage in stages for out in stage["outs"] if not OF_TIME.fullmatch(out["path"])
    }


def registry_of(made: World) -> dict[str, Any]:
    """Return what the registry holds: bytes by version, and which version each alias names."""
    (model,) = made.client.search_registered_models()
    versions = made.client.search_model_versions(f"name='{model.name}'")
    return {
        "versions": {version.version: version.tags["model_sha256"] for version in versions},
        "aliases": dict(made.client.get_registered_model(model.name).aliases),
    }


def test_the_steps_come_in_order_and_promotion_last(retrained: World) -> None:
    told = (retrained.root / "told").read_text()
    assert tuple(re.findall(r"INFO step ([a-z ]+): ", told)) == STEPS


def test_the_better_model_is_champion_and_the_one_before_is_kept(retrained: World) -> None:
    registry = registry_of(retrained)
    assert len(registry["versions"]) == 2
    champion = registry["aliases"]["champion"]
    (model,) = (out for path, out in outs_of(retrained).items() if path == "models/from_scratch.keras")
    assert champion == max(registry["versions"])
    kept = retrained.remote / "files/md5" / model[:2] / model[2:]
    assert (
        subprocess.run(["sha256sum", kept], capture_output=True, text=True, check=True).stdout.split()[0]
        == (registry["versions"][champion])
    )


def test_the_branch_is_one_commit_on_main_with_results_alone(retrained: World) -> None:
    branch = branch_of(retrained)
    assert retrained.git("rev-list", "--count", f"main..{branch}") == "1"
    changed = retrained.git("diff", "--name-only", "main", branch).splitlines()
    assert any(name.startswith("test_evaluations/") for name in changed)
    assert {"dvc.lock", "metrics/verdict.json", "reports/report.md", "reports/flips.png"} <= set(changed)
    assert all(
        name == "dvc.lock" or name.startswith(("metrics/", "plots/", "reports/", "test_evaluations/"))
        for name in changed
    )


def test_the_branchs_lock_matches_and_the_remote_holds_its_outputs(retrained: World) -> None:
    job = retrained.clone("reader")
    shutil.rmtree(job.root)
    subprocess.run(
        [
            "git",
            "clone",
            "--quiet",
            "--branch",
            branch_of(retrained),
            str(retrained.root / "origin.git"),
            str(job.root),
        ],
        check=True,
    )
    # Without the cache.
    job.run("dvc", "remote", "modify", "--local", "store", "url", str(retrained.remote))
    assert "dvc.lock matches" in job.run("unfreeze", "ci", "verify")
    job.run("dvc", "pull")
    assert "up to date" in job.run("dvc", "status")


def test_the_pull_request_tells_what_changed(retrained: World) -> None:
    (pull,) = retrained.hub.pulls
    assert pull["head"]["ref"] == branch_of(retrained)
    assert pull["base"]["ref"] == "main"
    assert pull["title"].endswith(": promote")
    for heading in ("## Verdict", "## Images that changed", "## What changed since the commit", "## Data checks"):
        assert heading in pull["body"]
    commit = retrained.git("rev-parse", branch_of(retrained))
    assert f"(https://github.example.org/owner/cells/raw/{commit}/reports/flips.png)" in pull["body"]
    assert re.search(r"\| from\\?_scratch \|.*%.*to.*\|.*100.0 %", pull["body"])


def test_no_secret_is_in_the_branch_the_text_or_the_log(retrained: World) -> None:
    assert TOKEN not in (retrained.root / "told").read_text()
    assert TOKEN not in json.dumps(retrained.hub.pulls)


def test_a_second_run_changes_nothing(retrained: World) -> None:
    before = retrained.git("rev-parse", branch_of(retrained)), registry_of(retrained), len(retrained.hub.pulls)
    done = retrained.retrain(retrained.clone("second"))
    assert done.returncode == 0, done.stderr[-4000:]
    assert "step repro" not in done.stderr
    after = retrained.git("rev-parse", branch_of(retrained)), registry_of(retrained), len(retrained.hub.pulls)
    assert after == before


def test_the_best_model_is_judged_in_the_format_that_is_asked_for(retrained: World) -> None:
    job = retrained.clone("exported")
    done = retrained.retrain(job, "--format", "openvino")
    assert done.returncode == 0, done.stderr[-4000:]
    assert "step export: the best model as openvino" in done.stderr
    assert re.search("(keep|cannot tell|promote): openvino against the packed model of version ", done.stderr)
    assert job.run("git", "status", "--porcelain", "metrics/export") == ""


def test_without_a_remote_it_goes_on_and_says_so(retrained: World) -> None:
    job = retrained.clone("alone")
    # Where the lock of main matches.
    job.run("git", "checkout", "--quiet", "--detach", "main~1")
    job.run("dvc", "remote", "remove", "store")
    job.run("git", "commit", "--quiet", "--all", "--message", "no remote")
    (job.root / ".dvc/config.local").write_text(f"[cache]\n    dir = {retrained.root / 'cache'}\n")
    champion = registry_of(retrained)["aliases"]["champion"]
    done = retrained.retrain(job)
    assert done.returncode == 0, done.stderr[-4000:]
    assert "no DVC remote is set: what the cache holds is all there is" in done.stderr
    assert "nothing to retrain: dvc.lock matches" in done.stderr
    assert "step push" not in done.stderr
    assert registry_of(retrained)["aliases"]["champion"] == champion


def test_wrong_labels_that_come_back_are_not_promoted(retrained: World) -> None:
    job = retrained.clone("worse")
    job.run("git", "fetch", "--quiet", "origin", branch_of(retrained))
    job.run("git", "merge", "--quiet", "--ff-only", "FETCH_HEAD")
    first_images(job.root / "photos", labels="mixed")
    track(job, "wrong labels")
    job.run("git", "push", "--quiet", "origin", "HEAD:main")
    champion = registry_of(retrained)["aliases"]["champion"]
    # As outside of GitHub.
    done = retrained.retrain(job, GITHUB_TOKEN="")
    assert done.returncode == 0, done.stderr[-4000:]
    assert "step promote" not in done.stderr
    assert registry_of(retrained)["aliases"]["champion"] == champion
    assert len(retrained.hub.pulls) == 1
    assert "Its text is in reports/pull_request.md" in done.stderr
    assert re.match(r"# Retrain [0-9a-f]{12}: (keep the champion|cannot tell)\n", job.paths.pull_request.read_text())


def test_each_step_killed_once_ends_in_the_same_state(
    disturbed: Future[dict[str, Any]], undisturbed: dict[str, Any]
) -> None:
    assert undisturbed["lost"] == set()
    assert disturbed.result() == undisturbed
