import shutil
import signal
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests import small_network
from tests.cluster.divided_stages import BACKBONE, ROWS, prepare
from tests.conftest import Checkout, checkout_with_images
from unfreeze import files
from unfreeze.cluster.local import Local
from unfreeze.cluster.storage import Storage
from unfreeze.features import cache
from unfreeze.planning import networks
from unfreeze.planning.jobs import Scale, describe_choice, describe_job
from unfreeze.settings.stage_settings import select
from unfreeze.settings.training import Unfreeze
from unfreeze.stages import extract


@pytest.fixture(scope="module")
def extracted(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """Run all stages before the search over 40 images and one small network."""
    made = checkout_with_images(
        tmp_path_factory.mktemp("extracted"),
        20,
        "study.backbones=[small]",
        "+weights.small=random",
        "search.enabled.default=false",
        "unfreeze.point.default=high_depthwise",
    )
    small_network.describe(made)
    made.run("dvc", "repro", "extract")
    made.commit()
    return made


def spoil(made: Checkout, how: str) -> None:
    """Do to the cache what goes wrong in the world."""
    path = made.paths.features("small")
    whole = path.read_bytes()
    # DVC may have linked the file to its own copy: what is written here must not reach that.
    path.unlink()
    if how == "cut short":
        path.write_bytes(whole[: len(whole) // 2])
    elif how == "one byte changed":
        path.write_bytes(whole[:-100] + bytes([whole[-100] ^ 1]) + whole[-99:])
    elif how == "another model's":
        stored = cached(whole, made.root / "old.h5")
        other = replace(stored.plan, determined_by={**stored.plan.determined_by, "weights": "f" * 64})
        with cache.open_writer(path, other) as writer:
            for batch in stored.iterate_batches():
                writer.append(batch)
    elif how == "half written":
        files.name_partial(path).write_bytes(whole[: len(whole) // 2])


def cached(content: bytes, path: Path) -> cache.Features:
    path.write_bytes(content)
    return cache.read(path, {})


@pytest.mark.parametrize("how", ["one byte changed", "half written"])
def test_a_spoilt_cache_is_mended_by_the_next_run(extracted: Checkout, how: str) -> None:
    before = files.hash_file(extracted.paths.features("small"))
    spoil(extracted, how)
    extracted.run("dvc", "repro", "extract")
    assert files.hash_file(extracted.paths.features("small")) == before
    assert extracted.run("git", "status", "--porcelain", "--untracked-files=no") == ""


@pytest.mark.parametrize("how", ["cut short", "another model's", "missing"])
def test_a_spoilt_cache_is_never_trained_on(extracted: Checkout, how: str) -> None:
    before = files.hash_file(extracted.paths.features("small"))
    spoil(extracted, how)
    extracted.run("unfreeze", "search", "small")
    done = extracted.try_run("unfreeze", "finetune", "small")
    assert done.returncode == 1
    assert "data/features/small.h5" in done.stderr
    assert "delete it and run `dvc repro` again" in done.stderr
    assert not extracted.paths.model("small").exists()
    extracted.run("dvc", "repro", "extract")
    assert files.hash_file(extracted.paths.features("small")) == before


# The stage, with an engine that ends the process as `kill -9` does when it is asked for its third batch.
KILLED = """
import os, signal
from unfreeze.models import engine
from unfreeze.cli.stages import run_stage
from unfreeze.paths import Paths
from unfreeze.settings.params import load

class Mortal(engine.Engine):
    def run(self, batches):
        for number, rows in enumerate(super().run(batches)):
            if number == 2:
                os.kill(os.getpid(), signal.SIGKILL)
            yield rows

engine.Engine = Mortal
paths = Paths.here()
run_stage("extract", load(paths.params), paths, backbone="small")
"""


def test_killed_midway_it_goes_on_to_the_same_bytes(extracted: Checkout) -> None:
    path = extracted.paths.features("small")
    before = files.hash_file(path)
    path.unlink()
    assert extracted.try_run("python", "-c", KILLED).returncode == -signal.SIGKILL
    assert not path.exists()
    assert files.name_partial(path).exists()
    said = extracted.run("dvc", "repro", "--force", "extract@small", "--single-item")
    assert "going on with small.h5: 16 of 32 rows are there" in said
    assert files.hash_file(path) == before


# The command of each stage that can be divided, its name for DVC and what it writes.
DIVIDED = {
    "check": (("check",), "check", "data/manifest.parquet"),
    "preprocess": (("preprocess",), "preprocess", "data/images.h5"),
    "extract": (("extract", "small"), "extract@small", "data/features/small.h5"),
}


@pytest.mark.parametrize(
    ("stage", "parts", "size"),
    [
        ("extract", (0, 1), 5),
        ("extract", (1,), 8),
        ("extract", (0,), 4096),
        ("check", (1,), 7),
        ("preprocess", (0, 1), 7),
    ],
)
def test_finished_shards_are_taken_and_give_the_same_bytes(
    extracted: Checkout, stage: str, parts: tuple[int, ...], size: int
) -> None:
    command, name, output = DIVIDED[stage]
    path = extracted.root / output
    before = files.hash_file(path)
    with extracted.changed_params(cluster={"rows_per_shard": size}):
        for index in parts:
            extracted.run("unfreeze", "work", *command, "--index", str(index), "--of", "2")
        finished = len(list(extracted.paths.shards.glob("*.json")))
        path.unlink()
        said = extracted.run("dvc", "repro", "--force", name, "--single-item")
    assert finished > 0
    assert f"{name}: {finished} finished shards were taken from" in said
    assert files.hash_file(path) == before
    shutil.rmtree(extracted.paths.shards)


def test_a_study_in_shard_files_has_the_same_model_and_names_the_file_that_is_missing(extracted: Checkout) -> None:
    paths, finetune = extracted.paths, ("dvc", "repro", "finetune@small")
    extracted.run(*finetune)
    model = files.hash_file(paths.model("small"))
    folders = [paths.images.with_suffix(".shards"), paths.features("small").with_suffix(".shards")]
    with extracted.changed_params(cluster={"max_file_gb": 2e-5, "rows_per_shard": 5}):
        extracted.run(*finetune)
        assert files.hash_file(paths.model("small")) == model
        contents = [{path.name: files.hash_file(path) for path in folder.iterdir()} for folder in folders]
        # Images in 7 files, activations in 4, and the list of each.
        assert [len(content) for content in contents] == [7 + 1, 4 + 1]

        lost = folders[1] / "00002.rows"
        lost.unlink()
        done = extracted.try_run("unfreeze", "finetune", "small")
        assert done.returncode == 1
        assert "data/features/small.shards/00002.rows is missing: run `dvc repro` again" in done.stderr
        extracted.run("dvc", "repro", "extract")
        assert lost.exists()

        extracted.run("unfreeze", "work", "extract", "small", "--index", "1", "--of", "2")
        extracted.run("dvc", "repro", "--force", "--single-item", "extract@small")
        assert {path.name: files.hash_file(path) for path in folders[1].iterdir()} == contents[1]
    shutil.rmtree(paths.shards)
    paths.model("small").unlink()
    extracted.run("dvc", "repro", "extract")
    assert [[path.name for path in folder.iterdir()] for folder in folders] == [["files.json"], ["files.json"]]


@pytest.fixture(scope="module")
def nodes(extracted: Checkout, start_nodes: Callable[..., Any]) -> Iterator[Any]:
    """Run a cluster; each test says how many nodes it has."""
    with start_nodes(0, checkout=extracted.root) as cluster:
        yield cluster


# Of 40 images the folds for training and validation hold 24 and 8.
FIVES = 8 + 8 + 5 + 2


@pytest.mark.parametrize(("count", "size", "shards"), [(1, 5, FIVES), (2, 5, FIVES), (3, 5, FIVES), (3, 4096, 4)])
def test_machines_of_a_cluster_give_the_same_bytes(
    extracted: Checkout, nodes: Any, count: int, size: int, shards: int
) -> None:
    nodes.resize(count)
    outputs = [extracted.root / output for _, _, output in DIVIDED.values()]
    before = [files.hash_file(path) for path in outputs]
    with extracted.changed_params(cluster={"engine": "ray", "rows_per_shard": size}):
        for path, (command, _, _) in zip(outputs, DIVIDED.values(), strict=True):
            path.unlink()
            extracted.run("unfreeze", *command, RAY_ADDRESS=nodes.address)
    assert len(list(extracted.paths.shards.glob("*.json"))) == shards
    assert [files.hash_file(path) for path in outputs] == before
    shutil.rmtree(extracted.paths.shards)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("extract", "vgg16", "--index", "0", "--of", "2"), "'vgg16': expected one of the study's, small"),
        (("extract", "--index", "0", "--of", "2"), "backbone None: expected one of the study's, small"),
        (("extract", "small", "--index", "2", "--of", "2"), "--index 2 --of 2: expected an index from 0"),
        (("report", "--index", "0", "--of", "1"), "invalid choice: 'report'"),
    ],
)
def test_what_cannot_be_worked_on_is_refused(extracted: Checkout, arguments: tuple[str, ...], said: str) -> None:
    done = extracted.try_run("unfreeze", "work", *arguments)
    assert done.returncode != 0
    assert said in done.stderr
    assert not extracted.paths.shards.exists()


def test_training_without_an_epoch_says_so_and_saves_no_model(extracted: Checkout) -> None:
    params = yaml.safe_load(extracted.paths.params.read_text())
    phases = {name: {"default": {**params["train"][name]["default"], "epochs": 0}} for name in ("head", "finetune")}
    with extracted.changed_params(train=phases):
        extracted.run("unfreeze", "search", "small")
        done = extracted.try_run("unfreeze", "finetune", "small")
    assert done.returncode == 1
    assert "or give train.head or train.finetune an epoch" in done.stderr
    assert not extracted.paths.model("small").exists()


@pytest.mark.parametrize(("max_gb", "cut", "stored"), [(4e-5, "middle_add", True), (1e-6, "high_relu", False)])
def test_without_room_less_is_stored_and_training_goes_on(
    extracted: Checkout, max_gb: float, cut: str, stored: bool
) -> None:
    with extracted.changed_params(extract={"max_gb": max_gb}):
        said = extracted.run("dvc", "repro", "finetune@small")
    plan = cache.read(extracted.paths.features("small"), {}).plan
    assert (plan.determined_by["cut"], plan.stored) == (cut, stored)
    assert ("cut behind middle_add instead" if stored else "computed in every epoch") in said
    assert extracted.paths.model("small").exists()
    assert not extracted.paths.derived_features("small").exists()
    extracted.paths.model("small").unlink()
    extracted.run("dvc", "repro", "extract")


@pytest.mark.parametrize(
    ("point", "position", "said"),
    [("block_2_expand", 17, "are stored"), ("block_1_expand", 0, "training begins at the pixels")],
)
def test_a_low_cut_begins_at_the_pixels_as_the_plan_says(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, point: str, position: int, said: str
) -> None:
    paths, params = prepare(tmp_path)
    unfreeze = {**params.unfreeze.model_dump(), "point": {"default": point}}
    params = params.model_copy(update={"unfreeze": Unfreeze.model_validate(unfreeze)})
    settings = select(params, extract.Settings)
    network = extract.build_network(settings, paths, BACKBONE)
    with caplog.at_level("INFO", "unfreeze"):
        extract.store_activations(settings, paths, network, Local(params.cluster, Storage(str(tmp_path))))
    plan = cache.read(paths.features(BACKBONE), {}).plan
    assert (plan.position, plan.stored) == (position, True)
    described = networks.describe(networks.wish(BACKBONE, 32, params.unfreeze, None))
    scale = Scale(images=ROWS, raw_mb=1, backbones=1, seeds=0)
    job = describe_job("extract", BACKBONE, params.model_dump(mode="json"), scale, described)
    sentence = describe_choice(BACKBONE, job)
    assert sentence is not None and said in sentence
    assert sentence in caplog.text
    assert job.training is not None and job.training.cached.position == position
