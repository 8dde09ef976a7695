"""Sources as people have them, through `dvc exp run` alone."""

import os
from pathlib import Path

import pandas as pd

from tests.conftest import Checkout, draw
from tests.sources.layouts import spread
from unfreeze import files


def fill(root: Path) -> Path:
    """Write pictures with the layout of the seed notebook, and what leads to trouble elsewhere."""
    for number, image in enumerate(spread("{fold}/{label}/{n}.jpg", folds={"train": "train", "validation": "val"})):
        (root / image.path).parent.mkdir(parents=True, exist_ok=True)
        draw((90, 90, 90), number).save(root / image.path)
    (root / "train/cat/clip.mp4").touch()
    return root


def test_the_source_s_path_alone_is_enough_and_what_dvc_cannot_hash_is_named(
    checkout: Checkout, tmp_path: Path
) -> None:
    root = fill(tmp_path / "My Photos (2023) it's #1")
    found = checkout.run("unfreeze", "inspect", str(root))
    command = found.strip().splitlines()[-1].removeprefix(".venv/bin/")
    assert command.startswith("dvc exp run -S data=folder -S ")
    # The images' own checks are not what this is about.
    told = checkout.run("bash", "-c", command.replace("exp run", "exp run download"))
    assert "1 left out, since each is no image (.mp4): 'train/cat/clip.mp4'" in told
    index = pd.read_csv(checkout.paths.raw_index)
    assert index["label"].value_counts().to_dict() == {"cat": 6, "dog": 6}
    assert index["fold"].value_counts().to_dict() == {"train": 6, "val": 6}
    assert (checkout.paths.raw / "validation/dog/9.jpg").exists()

    # A folder that DVC cannot hash: `validate` says so, where DVC would end on a number of an error.
    (root / "train/dog/gone.jpg").symlink_to("nowhere")
    (root / os.fsdecode(b"train/caf\xe9.jpg")).touch()
    done = checkout.try_run("bash", "-c", command.replace("exp run", "exp run download -S data.name=again"))
    assert done.returncode != 0
    assert (
        "links to nothing (1): 'train/dog/gone.jpg'" in done.stderr
        and "failed to reproduce 'validate'" in done.stderr
    )
    done = checkout.try_run("unfreeze", "check-files")
    assert "links to nothing (1): 'train/dog/gone.jpg'" in done.stderr
    (root / "train/dog/gone.jpg").unlink()
    done = checkout.try_run("bash", "-c", command.replace("exp run", "exp run download -S data.name=again"))
    assert r"names that are not UTF-8 (1): 'train/caf\udce9.jpg'" in done.stderr

    done = checkout.try_run("dvc", "exp", "run", "download", "-S", "data=folder", "-S", "data.source='~/photos'")
    assert "give the whole path" in done.stderr + done.stdout or "does not exist" in done.stderr


def test_dvc_keeps_no_image_that_stays_in_place_and_a_forced_download_sees_a_new_version(
    checkout: Checkout, tmp_path: Path
) -> None:
    root = fill(tmp_path / "photos")
    checkout.compose("data=in_place", f"data.source={root}")
    checkout.run("dvc", "repro", "download")
    digests = {files.hash_file(path) for path in root.rglob("*.jpg")}
    assert set(pd.read_csv(checkout.paths.raw_index)["sha256"]) == digests
    kept = {files.hash_file(path) for path in (checkout.root / ".dvc/cache").rglob("*") if path.is_file()}
    assert files.hash_file(checkout.paths.raw_index) in kept and not kept & digests

    replaced = root / "validation/dog/9.jpg"
    draw((10, 10, 10), 99).save(replaced)
    assert "didn't change" in checkout.run("dvc", "repro", "download")
    # As the error of a stage that reads the image says.
    checkout.run("dvc", "repro", "--force", "download")
    index = pd.read_csv(checkout.paths.raw_index).set_index("path")["sha256"]
    assert index["validation/dog/9.jpg"] == files.hash_file(replaced)
