"""Further seeds as a user trains them: in processes, on a node, and killed midway."""

import hashlib
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests import warm
from tests.conftest import PATIENCE, Checkout
from unfreeze import files

SEEDS = [1, 2, 3]
COMMAND = ("unfreeze", "finetune", "from_scratch")


def hash_models(made: Checkout) -> dict[str, str]:
    """Train with each seed, and return the digest of each model by its file's name."""
    made.run(*COMMAND)
    return {path.name: files.hash_file(path) for path in made.paths.repeats("from_scratch").glob("*.keras")}


def kill_driver(made: Checkout) -> list[Path]:
    """Begin to train, kill the stage when a seed is finished, and return what is kept."""
    folder = made.paths.finished_repeats("from_scratch")
    with subprocess.Popen(
        [warm.find_programs() / "unfreeze", *COMMAND[1:]],
        cwd=made.root,
        env={**os.environ, "PYTHONPATH": str(made.root / "src")},
        stderr=subprocess.PIPE,
    ) as running:
        until = time.monotonic() + PATIENCE
        while not list(folder.glob("[!.]*.keras")):
            assert running.poll() is None, running.stderr and running.stderr.read()
            assert time.monotonic() < until
            time.sleep(0.02)
        running.send_signal(signal.SIGKILL)
    return list(folder.glob("[!.]*.keras"))


def test_seeds_give_the_same_models_in_processes_on_a_node_and_after_a_kill(
    searchable: Checkout, start_nodes: Callable[..., Any]
) -> None:
    with searchable.changed_params(study={"seeds": SEEDS}):
        models = hash_models(searchable)
        assert sorted(models) == [f"{seed}.keras" for seed in SEEDS]
        assert len({*models.values(), files.hash_file(searchable.paths.model("from_scratch"))}) == len(SEEDS) + 1
        kept = kill_driver(searchable)
        assert 0 < len(kept) < len(SEEDS)
        # What is finished is taken as it is.
        for path in kept:
            path.write_bytes(b"finished")
        again = hash_models(searchable)
        taken = hashlib.sha256(b"finished").hexdigest()
        trained = {name: digest for name, digest in again.items() if digest != taken}
        assert len(trained) == len(SEEDS) - len(kept)
        assert trained.items() <= models.items()
        assert not searchable.paths.finished_repeats("from_scratch").exists()
        # What the killed processes derived is gone, too.
        assert not list(searchable.paths.features("x").parent.glob(".derived*"))
    with (
        # Libraries that are loaded by Ray's own process find the number of threads that Ray sets.
        start_nodes(1, checkout=searchable.root, at_once=False) as cluster,
        searchable.changed_params(study={"seeds": SEEDS[:1]}, cluster={"engine": "ray"}),
    ):
        searchable.run(*COMMAND, RAY_ADDRESS=cluster.address)
        assert files.hash_file(searchable.paths.repeat("from_scratch", SEEDS[0])) == models["1.keras"]


def test_a_backbone_without_further_seeds_starts_no_process(searchable: Checkout) -> None:
    searchable.run(*COMMAND)
    folder = searchable.paths.repeats("from_scratch")
    assert [path.name for path in folder.iterdir()] == ["seeds.json"]
    assert not searchable.paths.finished_repeats("from_scratch").exists()
