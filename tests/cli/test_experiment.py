"""A study on images of one's own, from a folder that no program likes."""

import shutil
from pathlib import Path

import fsspec
import pytest
import yaml

from tests.conftest import PROJECT, Checkout, fill_with_images
from unfreeze.cli.experiment import name_source
from unfreeze.errors import UnfreezeError


def test_the_source_decides_the_kind(tmp_path: Path) -> None:
    archive = tmp_path / "photos.zip"
    archive.touch()
    assert name_source(str(tmp_path)) == ["data=folder", f"data.source='{tmp_path}'"]
    assert name_source(str(archive)) == ["data=archive", f"data.source='{archive}'", f"data.watch='{archive}'"]
    assert name_source("https://host/a b.zip") == ["data=archive", "data.source='https://host/a b.zip'"]
    fsspec.filesystem("memory").pipe({"/photos/red/1.png": b"an image", "/photos.zip": b"an archive"})
    assert name_source("memory://photos.zip") == ["data=archive", "data.source='memory://photos.zip'"]
    of_folder = ["data=folder", "data.source='memory://photos'", "data.watch=conf/data/folder.yaml"]
    assert name_source("memory://photos") == of_folder
    with pytest.raises(UnfreezeError, match="holds a password"):
        name_source("s3://me:secret@bucket/photos")
    fill_with_images(tmp_path / "set", images=2)
    table = tmp_path / "set/labels.csv"
    table.write_text("image,class\nred/000.png,red\nred/001.png,red\nblue/000.png,blue\nblue/001.png,blue\n")
    assert name_source(str(table))[0] == "data=folder"
    with pytest.raises(UnfreezeError, match="neither a folder nor a file"):
        name_source(str(tmp_path / "gone"))


@pytest.mark.slow
def test_make_study_takes_any_path_as_it_is(tmp_path: Path) -> None:
    checkout = Checkout(tmp_path / "my work (2023), \u00e9t\u00e9" / "check out")
    shutil.copy(PROJECT / "Makefile", checkout.root)
    source = fill_with_images(tmp_path / 'It\'s $HOME, #1: "Photos" (2023) \\ caf\u00e9', images=3)
    # With so few images `check` ends the study after the download. The environment is that of the tests.
    done = checkout.try_run("make", "--old-file=install", "study", f"DATA={source}", "ARGS=-S seed=3")
    assert "min_images_per_class" in done.stderr, done.stderr
    assert "plan: " in done.stdout
    # DVC's warning of each output that no stage has made yet.
    assert "No file hash info" not in done.stderr
    params = yaml.safe_load(checkout.paths.params.read_text())
    assert (params["seed"], params["data"]["source"]) == (3, str(source))
    assert len(list((checkout.root / "data/raw").rglob("*.png"))) == 6
    # A worker would fail there, and `--run-all` would wait for it.
    refused = checkout.try_run("dvc", "exp", "run", "--queue", "-S", "seed=4")
    assert "whose path has letters beyond ASCII: move it" in refused.stderr
