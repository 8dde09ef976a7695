"""Further seeds as a user trains them: in processes, on nodes, and killed midway."""

import hashlib
from dataclasses import replace
from typing import Any

import pytest
from pydantic import TypeAdapter

from tests.conftest import PROJECT, Checkout, wait_until_ended
from tests.stages.losses import lose_worker, lose_worker_and_node, start_stage, wait_for
from unfreeze import files
from unfreeze.settings.params import load
from unfreeze.settings.stage_settings import select
from unfreeze.stages import finetune

SEEDS = [1, 2, 3]
COMMAND = ("unfreeze", "finetune", "from_scratch")
FINISHED = ".dvc/tmp/unfreeze/repeats/from_scratch/[!.]*.keras"


def hash_models(made: Checkout) -> dict[str, str]:
    """Train with each seed, and return the digest of each model by its file's name."""
    made.run(*COMMAND)
    return {path.name: files.hash_file(path) for path in made.paths.repeats("from_scratch").glob("*.keras")}


def finish(made: Checkout, models: dict[str, str]) -> None:
    """Run the stage again after it was killed: it takes what is finished as it is, and trains the others."""
    kept = list(made.root.glob(FINISHED))
    assert 0 < len(kept) < len(SEEDS)
    for path in kept:
        path.write_bytes(b"finished")
    again = hash_models(made)
    taken = hashlib.sha256(b"finished").hexdigest()
    trained = {name: digest for name, digest in again.items() if digest != taken}
    assert len(trained) == len(SEEDS) - len(kept)
    assert trained.items() <= models.items()
    assert not made.paths.finished_repeats("from_scratch").exists()
    # What the killed processes derived is gone, too.
    assert not list(made.paths.features("x").parent.glob(".derived*"))


def test_a_training_that_shares_its_minutes_with_more_seeds_is_another_one() -> None:
    params = load(PROJECT / "params.yaml")
    choice = finetune.Choice("all", params.train.finetune.get("xception"), "params")

    def describe(minutes: float | None, *seeds: int) -> Any:
        settings = replace(select(params, finetune.Settings), minutes=minutes, seeds=seeds)
        values = TypeAdapter(finetune.Settings).dump_python(settings, mode="json")
        return finetune.describe_training(values, choice)

    assert describe(5, 1) != describe(5, 1, 2)
    assert describe(5, 1) == describe(5, 2)
    assert describe(None, 1) == describe(None, 1, 2)


@pytest.fixture(scope="module")
def models(searchable: Checkout) -> dict[str, str]:
    """Return the digests of models that were trained in processes of this machine."""
    with searchable.changed_params(study={"seeds": SEEDS}):
        return hash_models(searchable)


def test_each_seed_gives_another_model_and_the_same_one_where_a_process_and_the_stage_are_killed(
    searchable: Checkout, models: dict[str, str]
) -> None:
    assert sorted(models) == [f"{seed}.keras" for seed in SEEDS]
    assert len({*models.values(), files.hash_file(searchable.paths.model("from_scratch"))}) == len(SEEDS) + 1
    with searchable.changed_params(study={"seeds": SEEDS}):
        with start_stage(searchable, "finetune") as driver:
            lose_worker(searchable)
            wait_for(searchable, FINISHED)
            driver.kill()
            assert driver.stderr is not None
            assert driver.stderr.read().count("its process ended by SIGKILL") == 1
        finish(searchable, models)


def test_a_node_trains_the_same_model(searchable: Checkout, models: dict[str, str], nodes: Any) -> None:
    # Libraries that are loaded by Ray's own process find the number of threads that Ray sets.
    node = nodes.add_node(num_cpus=1, at_once=False)
    with searchable.changed_params(study={"seeds": SEEDS[:1]}, cluster={"engine": "ray"}):
        assert hash_models(searchable) == {"1.keras": models["1.keras"]}
    nodes.remove_node(node)


def test_a_worker_a_node_and_the_driver_that_are_lost_change_no_model(
    searchable: Checkout, models: dict[str, str], nodes: Any
) -> None:
    nodes.resize(3)
    with searchable.changed_params(study={"seeds": SEEDS}, cluster={"engine": "ray"}):
        with start_stage(searchable, "finetune") as driver:
            lose_worker_and_node(searchable, nodes)
            wait_for(searchable, FINISHED)
            workers = nodes.list_workers()
            driver.kill()
            assert driver.stderr is not None
            assert driver.stderr.read().count("finetune@from_scratch: seed ") == 2
        wait_until_ended(workers)
        # Two nodes train what is left.
        finish(searchable, models)


def test_a_backbone_without_further_seeds_starts_no_process(searchable: Checkout) -> None:
    searchable.run(*COMMAND)
    folder = searchable.paths.repeats("from_scratch")
    assert [path.name for path in folder.iterdir()] == ["seeds.json"]
    assert not searchable.paths.finished_repeats("from_scratch").exists()
