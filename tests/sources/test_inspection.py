"""What `unfreeze inspect` says of a source, and that the command it prints is the right one."""

import json
import shlex
import zipfile
from pathlib import Path

import pytest
from dvc.utils.hydra import to_hydra_overrides

from tests.conftest import draw
from tests.sources.layouts import Tree, spread, write_csv
from unfreeze.cli.main import main
from unfreeze.errors import UnfreezeError
from unfreeze.sources.inspection import inspect

FOLDS = {"train": "train", "validation": "val"}


@pytest.fixture
def seed_notebook(tmp_path: Path) -> Path:
    """Return a folder with the layout of the seed notebook, in a folder with a difficult name."""
    extra = {"train/loose.jpg": b"", "readme.txt": b"", "train/cat/1.mp4": b""}
    root = Tree(spread("{fold}/{label}/{n}.jpg", folds=FOLDS), extra).write(tmp_path / "My Photos (2023) it's #1")
    draw((9, 9, 9), 1).save(root / "train/cat/0.jpg")
    return root


def test_everything_found_is_told(seed_notebook: Path) -> None:
    found = inspect(str(seed_notebook))
    assert found.reading == "class folders" and "folds train, val" in found.explanation
    assert found.classes == {"cat": {"train": 3, "val": 3}, "dog": {"train": 3, "val": 3}}
    assert found.folds == {"train": 6, "val": 6} and found.groups is None
    assert "no fold test is given: it will be drawn from the training images" in found.notes
    assert found.formats == {".jpg": {"images": 12, "formats": ["JPEG"]}}
    assert {reason: paths["files"] for reason, paths in found.left_out.items()} == {
        "is no image (.mp4)": 1, "is no image (.txt)": 1, "lies in a fold without class folders": 1,
    }  # fmt: skip
    assert found.seen == 15 == found.images + 3
    assert found.examples["cat"] == ["train/cat/0.jpg", "train/cat/1.jpg", "train/cat/2.jpg"]


def test_the_command_names_the_source_through_shell_and_hydra(seed_notebook: Path) -> None:
    words = shlex.split(inspect(str(seed_notebook)).command)
    overrides = to_hydra_overrides(words[words.index("-S") + 1 :: 2])
    values = {override.get_key_element(): override.value() for override in overrides}
    assert values == {"data": "folder", "data.source": str(seed_notebook)}


def test_groups_by_a_pattern_are_counted_and_come_into_the_command(tmp_path: Path) -> None:
    images = [*spread("cat/patient1_{n}.jpg", ["cat"]), *spread("dog/patient2_{n}.jpg", ["dog"])]
    root = Tree(images, {"dog/other.jpg": b""}).write(tmp_path / "set")
    found = inspect(str(root), r"(patient\d+)_")
    assert found.groups == 2
    assert "does not fit 1 images" in found.notes[0] and "'dog/other.jpg'" in found.notes[0]
    assert to_hydra_overrides([found.settings[-1]])[0].value() == r"(patient\d+)_"


def test_an_archive_is_read_without_its_images(tmp_path: Path) -> None:
    root = Tree(spread("{n}.jpg"), {"labels.csv": write_csv(
        [("image", "class"), *((i.path, i.label) for i in spread("{n}.jpg"))]
    ).encode()}).write(tmp_path / "set")  # fmt: skip
    with zipfile.ZipFile(tmp_path / "my set.zip", "w") as packed:
        for file in root.iterdir():
            packed.write(file, f"top/{file.name}")
    found = inspect(str(tmp_path / "my set.zip"))
    assert found.classes == {"cat": {"images": 3}, "dog": {"images": 3}}
    assert found.formats == {".jpg": {"images": 6, "formats": []}}
    path = str(tmp_path / "my set.zip")
    assert [to_hydra_overrides([setting])[0].value() for setting in found.settings] == ["archive", path, path]


def test_a_table_is_read_with_the_images_beside_it(tmp_path: Path) -> None:
    images = spread("img/{n}.jpg")
    tables = {
        name: write_csv([("image", "class"), *((i.path, label(n)) for n, i in enumerate(images))]).encode()
        for name, label in {"a.csv": lambda n: n % 2, "b.csv": lambda n: n < 4}.items()
    }
    root = Tree(images, tables).write(tmp_path / "set")
    with pytest.raises(UnfreezeError, match="two ways"):
        inspect(str(root))
    found = inspect(str(root / "b.csv"))
    assert found.classes == {"False": {"images": 2}, "True": {"images": 4}}
    assert to_hydra_overrides([found.settings[2]])[0].value()["file"] == "b.csv"


@pytest.mark.parametrize(
    ("name", "expected"),
    [("none", "does not exist"), ("movie.mp4", "unknown kind (.mp4)")],
)
def test_what_cannot_be_looked_at_is_refused(tmp_path: Path, name: str, expected: str) -> None:
    (tmp_path / "movie.mp4").touch()
    with pytest.raises(UnfreezeError) as error:
        inspect(str(tmp_path / name))
    assert expected in str(error.value)


def test_the_command_prints_for_people_and_for_machines(
    seed_notebook: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["inspect", str(seed_notebook)])
    text = capsys.readouterr().out
    assert "15 seen = 12 images + 3 left out" in text and "folds    train 6, val 6" in text
    assert "train/cat/0.jpg" in text and inspect(str(seed_notebook)).command in text
    main(["inspect", "--json", str(seed_notebook)])
    assert json.loads(capsys.readouterr().out)["classes"]["cat"] == {"train": 3, "val": 3}


def test_a_refusal_ends_the_command_with_one_line(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(SystemExit) as end:
        main(["inspect", str(tmp_path / "empty")])
    assert str(end.value).startswith("error: data.source") and "is empty" in str(end.value)


def test_a_table_away_from_its_images_is_told_where_to_go(tmp_path: Path) -> None:
    table = write_csv([["path", "label"], ["/elsewhere/1.png", "cat"], ["/elsewhere/2.png", "dog"]])
    (tmp_path / "labels.csv").write_text(table)
    with pytest.raises(UnfreezeError, match="has no images beside its table .* put the table into the folder that"):
        inspect(str(tmp_path / "labels.csv"))


def test_an_archive_beside_images_is_named(tmp_path: Path) -> None:
    root = Tree(spread("{label}/{n}.jpg"), {"more.zip": b"PK"}).write(tmp_path / "pets")
    assert inspect(str(root)).left_out[
        "is an archive beside images (.zip): unpack it if its images belong to the set"
    ]
    one = Tree(spread("{label}/{n}.jpg", labels=("cat",)), {"dogs.zip": b"PK"}).write(tmp_path / "half")
    with pytest.raises(UnfreezeError, match="archives beside images are not opened, unpack them: 'dogs.zip'"):
        inspect(str(one))
