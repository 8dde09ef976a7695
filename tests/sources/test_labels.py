import os
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.conftest import processor_time
from unfreeze.errors import UnfreezeError
from unfreeze.settings.sources import LabelTable
from unfreeze.sources import labels

NAMED = {"file": "labels.csv", "delimiter": ",", "path_column": "path", "label_column": "label"}


def fill(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def refused(read: Callable[[], object]) -> str:
    with pytest.raises(UnfreezeError) as error:
        read()
    message = str(error.value)
    assert "\n" not in message and len(message) < 700
    return message


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Return a folder with the images a.png, b.png and c.png."""
    return fill(tmp_path / "set", "a.png", "b.png", "c.png")


def table(root: Path, text: str | bytes, **settings: object) -> tuple[Path, pd.DataFrame]:
    """Write a table and read it with named columns, unless told otherwise."""
    (root / "labels.csv").write_bytes(text.encode() if isinstance(text, str) else text)
    return labels.index_table(root, LabelTable.model_validate({**NAMED, **settings}))


def refused_table(root: Path, text: str | bytes, **settings: object) -> str:
    return refused(lambda: table(root, text, **settings))


@pytest.fixture
def warnings(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """Collect what is logged as a warning."""
    caplog.set_level("WARNING", "unfreeze")
    return caplog


# Class folders


def test_class_folders_name_the_labels(tmp_path: Path) -> None:
    names = ("b/1.png", "a/x/2.png", "a/1.png", "a/.hidden", "a/.git/3.png", "a/Thumbs.db", "a/__MACOSX/1.png")
    base, index = labels.index_class_folders(fill(tmp_path, *names, ".c/1.png", "readme.txt"), "*", name="mine")
    assert base == tmp_path
    assert index.values.tolist() == [["a/1.png", "a"], ["a/x/2.png", "a"], ["b/1.png", "b"]]


def test_class_folders_of_one_name_are_one_class(tmp_path: Path) -> None:
    root = fill(tmp_path, "pets/train/cat/1.png", "pets/val/cat/1.png", "pets/val/dog/1.png")
    base, index = labels.index_class_folders(root, "pets/*/*", name="mine")
    assert base == tmp_path / "pets"
    expected = [["train/cat/1.png", "cat"], ["val/cat/1.png", "cat"], ["val/dog/1.png", "dog"]]
    assert index.values.tolist() == expected


def test_a_linked_class_folder_counts(tmp_path: Path) -> None:
    fill(tmp_path / "elsewhere", "1.png")
    (tmp_path / "set").mkdir()
    (tmp_path / "set/cat").symlink_to(tmp_path / "elsewhere")
    _, index = labels.index_class_folders(tmp_path / "set", "*", name="mine")
    assert index["path"].tolist() == ["cat/1.png"]


def test_a_folder_without_images_is_refused(tmp_path: Path) -> None:
    message = refused(lambda: labels.index_class_folders(fill(tmp_path, "1.png", "cat/.keep"), "*", name="mine"))
    assert "mine is empty" in message and "one folder a class" in message and "found 1" in message


def test_class_folders_without_images_are_told(tmp_path: Path, warnings: pytest.LogCaptureFixture) -> None:
    labels.index_class_folders(fill(tmp_path, "cat/1.png", "notes/.keep"), "*", name="mine")
    assert warnings.messages == ["mine has class folders without images, which are left out: 'notes'"]


def test_an_image_in_two_class_folders_is_refused(tmp_path: Path) -> None:
    message = refused(lambda: labels.index_class_folders(fill(tmp_path, "pets/cat/1.png"), "**", name="mine"))
    assert "more than one class folder" in message and "data.class_folders '**'" in message


def test_a_glob_that_leaves_the_folder_is_refused(tmp_path: Path) -> None:
    assert "leaves the folder" in refused(lambda: labels.index_class_folders(tmp_path, "../*", name="mine"))


def test_a_file_name_that_is_not_utf_8_is_shown_escaped(tmp_path: Path) -> None:
    fill(tmp_path, "cat/1.png")
    (tmp_path / "cat" / os.fsdecode(b"caf\xe9.png")).touch()
    message = refused(lambda: labels.index_class_folders(tmp_path, "*", name="mine"))
    assert r"'cat/caf\udce9.png'" in message and "rename" in message
    message.encode()


@pytest.mark.parametrize("unreadable", ["", "pets", "pets/cat", "pets/cat/more"])
def test_an_unreadable_folder_is_not_passed_over(
    tmp_path: Path, unreadable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(tmp_path, "pets/cat/1.png", "pets/cat/more/2.png", "pets/dog/1.png")
    scandir = os.scandir

    def guarded(path: os.PathLike[str] | str) -> object:
        if Path(path) == tmp_path / unreadable:
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", guarded)
    message = refused(lambda: labels.index_class_folders(tmp_path, "pets/*", name="mine"))
    assert f"{str(tmp_path / unreadable)!r} could not be read (Permission denied)" in message and "chmod" in message


@pytest.mark.slow
def test_ten_times_the_class_folders_take_about_ten_times_as_long(tmp_path: Path) -> None:
    def take(number: int) -> float:
        root = tmp_path / str(number)
        for folder in range(number):
            (root / f"{folder:06}").mkdir(parents=True)
            (root / f"{folder:06}/1.png").touch()
        return processor_time(lambda: found.append(labels.index_class_folders(root, "*", name="mine")[1]))

    found: list[pd.DataFrame] = []
    assert take(10_000) < 40 * take(1_000)
    assert found[0]["label"].nunique() == 10_000
    root = tmp_path / "10000"
    for folder in range(10_000):
        (root / f"{folder:06}/1.png").rename(root / f"{folder:06}/a\\b")
    assert "and 9997 more" in refused(lambda: labels.index_class_folders(root, "*", name="mine"))


# Tables


def test_a_table_gives_labels_by_threshold(tmp_path: Path) -> None:
    fill(tmp_path / "set/images", "a.png", "b.png", "c.png")
    rows = "images/a.png  0.0   mono\nimages/b.png  1.0   poly\nimages/c.png  0.5 mono\n"
    (tmp_path / "set/labels.csv").write_text(rows)
    settings = LabelTable(file="set/labels.csv", threshold=0.5, classes=("functional", "defective"))
    base, index = labels.index_table(tmp_path, settings)
    assert base == tmp_path / "set"
    expected = [["images/a.png", "functional"], ["images/b.png", "defective"], ["images/c.png", "functional"]]
    assert index.values.tolist() == expected


def test_columns_are_found_by_name(images: Path) -> None:
    _, index = table(images, "number,label,path\n1,cat,b.png\n2,dog,./a.png\n3,007,c.png\n")
    assert index.values.tolist() == [["a.png", "dog"], ["b.png", "cat"], ["c.png", "007"]]


def test_columns_are_found_by_number(images: Path) -> None:
    _, index = table(images, "1;cat;b.png\n2;NA;a.png\n3;dog;c.png", delimiter=";", path_column=2, label_column=1)
    assert index.values.tolist() == [["a.png", "NA"], ["b.png", "cat"], ["c.png", "dog"]]


def test_images_without_a_group_or_a_fold_stay_without(images: Path) -> None:
    (images / "labels.csv").write_text("path,label,group,fold\na.png,x,,\nb.png,y,p,test\nc.png,y,,\n")
    table = LabelTable(
        file="labels.csv", delimiter=",", path_column="path", label_column="label", group_column="group",
        fold_column="fold",
    )  # fmt: skip
    index = labels.index_table(images, table)[1]
    assert index["group"].tolist() == ["", "p", ""]
    assert index["fold"].tolist() == ["", "test", ""]


def test_weights_groups_and_folds_come_along(images: Path) -> None:
    _, index = table(
        images,
        "path,label,w,patient,set\na.png,x,0.5,p 1,validation\nb.png,y,2,p2,train\nc.png,x,1e3,p2,valid\n",
        weight_column="w",
        group_column="patient",
        fold_column="set",
    )
    assert list(index.columns) == ["path", "label", "weight", "group", "fold"]
    assert index["weight"].tolist() == [0.5, 2.0, 1000.0]
    assert index["group"].tolist() == ["p 1", "p2", "p2"]
    assert index["fold"].tolist() == ["val", "train", "val"]


def test_a_label_map_names_the_classes(images: Path) -> None:
    _, index = table(images, "path,label\na.png,0\nb.png,1\nc.png,0\n", label_map={"0": "cat", "1": "dog"})
    assert index["label"].tolist() == ["cat", "dog", "cat"]


@pytest.mark.parametrize("index", [None, ["r1", "r2", "r3"]])
def test_parquet_is_read_as_csv_is(images: Path, index: list[str] | None) -> None:
    rows = pd.DataFrame(
        {
            "path": pd.Categorical(["b.png", "a.png", "c.png"]),
            "box": [[1, 2], [3, 4], [5, 6]],
            "label": pd.array([1, 0, 1], "Int64"),
            "weight": [0.5, 1.0, 2.0],
        },
        index=index,
    )
    rows.to_parquet(images / "labels.parquet")
    settings = LabelTable(file="labels.parquet", path_column="path", label_column=2, weight_column="weight")
    _, found = labels.index_table(images, settings)
    assert found.values.tolist() == [["a.png", "0", 1.0], ["b.png", "1", 0.5], ["c.png", "1", 2.0]]


def test_a_missing_label_in_parquet_is_noticed(images: Path) -> None:
    rows = pd.DataFrame({"path": ["a.png", "b.png", "c.png"], "label": pd.array([1, None, 0], "Int64")})
    rows.to_parquet(images / "labels.parquet")
    settings = LabelTable(file="labels.parquet", path_column="path", label_column="label")
    assert "without a label (1): 'b.png'" in refused(lambda: labels.index_table(images, settings))


def test_a_byte_order_mark_is_no_part_of_a_name(images: Path) -> None:
    _, index = table(images, "\ufeffpath,label\na.png,x\nb.png,x\nc.png,x\n")
    assert len(index) == 3


@given(
    st.lists(st.sampled_from(["x", "a b", "käse", "NA", "007", "1.0", 'q"uote', "com,ma"]), min_size=3, max_size=3)
)
def test_any_label_comes_back_as_it_was_written(values: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = fill(Path(folder), "a.png", "b.png", "c.png")
        frame = pd.DataFrame({"path": ["a.png", "b.png", "c.png"], "label": values})
        _, index = table(root, frame.to_csv(index=False))
        assert index["label"].tolist() == values


@pytest.mark.parametrize(
    ("text", "settings", "expected"),
    [
        ("path,label\na.png,x\nnone.png,x\n", {}, "paths without a file (1): 'none.png'"),
        ("path,label\na.png,x\n../b.png,x\n", {}, "paths that leave its folder or cannot be used (1): '../b.png'"),
        ("path,label\n/etc/passwd,x\n", {}, "'/etc/passwd'"),
        ("path,label\nimages\\d.png,x\n", {}, r"paths without a file (1): 'images\\d.png'"),
        ("path,label\na.png,x\n./a.png,y\n", {}, "paths that are there twice (1): 'a.png'"),
        ("path,label\na.png,\nb.png, \n", {}, "images without a label (2): 'a.png', 'b.png'"),
        ("path,label\na.png\nb.png,x\n", {}, "images without a label (1): 'a.png'"),
        ("path,label\n,x\nb.png,x\n", {}, "rows without a path, by number (1): '1'"),
        ("path,label\n", {}, "no rows"),
        ("", {}, "could not be read"),
        ("path,label\na.png,x\nb.png,x,y,z\n", {}, "could not be read"),
        ("path,label\na.png,x,y\nb.png,x,y\n", {}, "more columns than its header"),
        ("file,class\na.png,x\n", {}, "no column 'path', it has 'file', 'class'"),
        ("a.png,x\n", {"path_column": 0, "label_column": 5}, "no column 5, it has '0', '1'"),
        (b"path,label\na.png,caf\0e\n", {}, "NUL characters, so it is no text"),
        ("path,label\na.png,7\nb.png,0\n", {"label_map": {"0": "cat"}}, "label_map lacks (1): '7'"),
        ("path,label\na.png,x\n", {"threshold": 0.5, "classes": ("a", "b")}, "labels that are no numbers (1): 'x'"),
        ("path,label\na.png,x\n", {"fold_column": "set"}, "no column 'set'"),
        (
            "path,label,set\na.png,x,held out\n",
            {"fold_column": "set"},
            "unknown folds (1): 'held out': use train, val and test",
        ),
        ('path,label,group\na.png,x,"p\n1"\n', {"group_column": "group"}, "a group with control characters (1)"),
        ("path,label\na.png,x\n", {"delimiter": "(("}, "data.labels.delimiter"),
        ("path,label\na.png,x\n", {"file": "../labels.csv"}, "holds no '../labels.csv'"),
        ("path,label\na.png,x\n", {"file": "lables.csv"}, "which holds 'a.png', 'b.png', 'c.png' and 1 more"),
    ],
)
def test_a_bad_table_is_refused_with_examples(
    images: Path, text: str | bytes, settings: dict[str, object], expected: str
) -> None:
    assert expected in refused_table(images, text, **settings)


@pytest.mark.parametrize("weight", ["0", "-1", "inf", "nan", "", "heavy"])
def test_a_weight_that_is_no_number_above_zero_is_refused(images: Path, weight: str) -> None:
    message = refused_table(images, f"path,label,w\na.png,x,{weight}\nb.png,x,1\n", weight_column="w")
    assert f"weights that are no numbers above 0 (1): 'a.png: {weight}'" in message


def test_messages_name_three_examples_and_count_the_rest(images: Path) -> None:
    rows = "".join(f"{'long' * 50}{number:04}.png,x\n" for number in range(1000))
    message = refused_table(images, f"path,label\n{rows}")
    assert "(1000)" in message and "and 997 more" in message


def test_parquet_that_is_none_is_refused(images: Path) -> None:
    (images / "labels.parquet").write_bytes(b"no parquet")
    settings = LabelTable(file="labels.parquet")
    assert "labels.parquet could not be read" in refused(lambda: labels.index_table(images, settings))


def test_images_that_the_table_does_not_name_are_told(images: Path, warnings: pytest.LogCaptureFixture) -> None:
    fill(images, "more/d.PNG", "more/e.png", "readme.txt", ".hidden.png")
    table(images, "path,label\na.png,x\nb.png,y\n")
    expected = (
        "labels.csv does not name 3 files of its folder, which are left out: 'c.png', 'more/d.PNG', 'more/e.png'"
    )
    assert warnings.messages == [expected]


def test_a_table_that_names_all_images_gives_no_warning(images: Path, warnings: pytest.LogCaptureFixture) -> None:
    table(images, "path,label\na.png,x\nb.png,y\nc.png,y\n")
    assert warnings.messages == []


def test_a_path_through_a_linked_folder_is_found(images: Path, tmp_path: Path) -> None:
    (images / "linked").symlink_to(fill(tmp_path / "elsewhere", "d.png"))
    _, index = table(images, "path,label\nlinked/d.png,x\na.png,y\n")
    assert index["path"].tolist() == ["a.png", "linked/d.png"]


# What tables of others are like


def test_a_wrong_delimiter_is_named_with_the_right_one(images: Path) -> None:
    message = refused_table(images, "path;label\na.png;x\nb.png;y\nc.png;y\n")
    assert "no column 'path', it has 'path;label'" in message
    assert "data.labels.delimiter seems to be ';', it is set to ','" in message
    message = refused_table(images, "a.png,x\nb.png,y\n", delimiter="whitespace", path_column=0, label_column=1)
    assert "seems to be ','" in message


def test_latin_1_is_read_and_told(images: Path, warnings: pytest.LogCaptureFixture) -> None:
    _, index = table(images, b"path,label\na.png,L\xf6we\nb.png,x\nc.png,x\n")
    assert index["label"][0] == "Löwe"
    assert warnings.messages == ["labels.csv is not UTF-8 (byte 0xf6): read as Latin-1"]


@pytest.mark.parametrize("mark", ["utf-16", "utf-8-sig"])
def test_a_marked_encoding_is_read(images: Path, mark: str) -> None:
    _, index = table(images, "path,label\na.png,Löwe\nb.png,x\nc.png,x\n".encode(mark))
    assert index["label"][0] == "Löwe"


def test_json_lines_are_read_as_csv_is(images: Path) -> None:
    (images / "metadata.jsonl").write_text(
        '{"file_name": "a.png", "label": 1}\n{"file_name": "b.png", "label": 0}\n{"file_name": "c.png", "label": 1}\n'
    )
    settings = LabelTable(file="metadata.jsonl", path_column="file_name", label_column="label")
    assert labels.index_table(images, settings)[1]["label"].tolist() == ["1", "0", "1"]


def write_spreadsheet(file: Path, rows: list[list[str]]) -> None:
    """Write an Excel file as Excel does, with its texts in a list of their own."""
    texts = list(dict.fromkeys(text for row in rows for text in row))
    main = 'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'
    cells = "".join(
        f'<row r="{number}">'
        + "".join(
            f'<c r="{"ABC"[place]}{number}" t="s"><v>{texts.index(text)}</v></c>' for place, text in enumerate(row)
        )
        + "</row>"
        for number, row in enumerate(rows, 1)
    )
    with zipfile.ZipFile(file, "w") as packed:
        strings = "".join(f"<si><t>{text}</t></si>" for text in texts)
        packed.writestr("xl/sharedStrings.xml", f"<sst {main}>{strings}</sst>")
        packed.writestr("xl/worksheets/sheet1.xml", f"<worksheet {main}><sheetData>{cells}</sheetData></worksheet>")


def test_excel_is_read_as_csv_is(images: Path) -> None:
    write_spreadsheet(images / "labels.xlsx", [["path", "label"], ["a.png", "x"], ["b.png", "ü"], ["c.png", "x"]])
    settings = LabelTable(file="labels.xlsx", path_column="path", label_column="label")
    assert labels.index_table(images, settings)[1]["label"].tolist() == ["x", "ü", "x"]
    (images / "labels.xlsx").write_bytes(b"PK none")
    assert "no Excel file" in refused(lambda: labels.index_table(images, settings))


@pytest.mark.parametrize(
    "change",
    [str.upper, lambda path: path[:-4], lambda path: f"D:\\set\\{path}", lambda path: f"http://x.org/{path}"],
)
def test_paths_that_differ_are_completed_and_told(
    images: Path, change: Callable[[str], str], warnings: pytest.LogCaptureFixture
) -> None:
    _, index = table(images, "path,label\n" + "".join(f"{change(name)},x\n" for name in ("a.png", "b.png", "c.png")))
    assert index["path"].tolist() == ["a.png", "b.png", "c.png"]
    assert all("were completed" in message for message in warnings.messages)


def test_a_template_says_where_the_images_of_a_table_are(tmp_path: Path) -> None:
    root = fill(tmp_path, "train/b000.jpg", "train/b001.jpg", "test/b000.jpg", "test/b001.jpg")
    text = "path,label\nb000,x\nb001,y\n"
    assert "several folders" in refused_table(root, text)
    base, index = table(root, text, path="test/{}.jpg")
    assert [(base / path).relative_to(root).as_posix() for path in index["path"]] == [
        "test/b000.jpg",
        "test/b001.jpg",
    ]


def test_a_template_without_a_place_is_refused() -> None:
    with pytest.raises(ValueError, match="must hold"):
        LabelTable(file="labels.csv", path="train/.jpg")


@pytest.mark.parametrize(("word", "fold"), [("dev", "val"), ("Validación", "val"), ("teste", "test")])
def test_folds_have_names_in_several_languages(images: Path, word: str, fold: str) -> None:
    text = f"path,label,set\na.png,x,{word}\nb.png,x,train\nc.png,x,\n"
    assert table(images, text, fold_column="set")[1]["fold"].tolist() == [fold, "train", ""]
