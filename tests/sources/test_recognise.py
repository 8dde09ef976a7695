"""Layouts that people have: each is read as it is meant, or refused with both readings named."""

import unicodedata
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.sources.layouts import (
    ANIMALS,
    Image,
    Tree,
    meaning_of,
    read,
    refusal_of,
    spread,
    write_csv,
    write_lines,
)

PNG = b"\x89PNG\r\n\x1a\n"
TWO = {"train": "train", "test": "test"}
THREE = {"train": "train", "val": "val", "test": "test"}
IMAGES = spread("img/{n}.jpg")


def table(
    text: str | bytes, images: list[Image] = IMAGES, file: str = "labels.csv", more: dict[str, bytes] | None = None
) -> Tree:
    content = text.encode() if isinstance(text, str) else text
    return Tree(images, {file: content, **(more or {})})


def rows(images: list[Image] = IMAGES, header: tuple[str, ...] = ("image", "class")) -> list[tuple[str, ...]]:
    return [header, *((image.path, image.label) for image in images)]


def with_paths(change: Callable[[str], str], images: list[Image] = IMAGES) -> Tree:
    return table(write_csv([("image", "class"), *((change(image.path), image.label) for image in images)]), images)


def with_folds(folds: dict[str, str], template: str = "{fold}/{label}/{n}.jpg") -> Tree:
    return Tree(spread(template, folds=folds))


def of_folds(images: list[Image]) -> list[Image]:
    """Give images folds in turn."""
    return [Image(image.path, image.label, list(THREE)[number % 3]) for number, image in enumerate(images)]


SPLIT = of_folds(IMAGES)
CLASSED = spread("{label}/{n}.jpg")
NUMBERED = [Image(f"img/{n + 5}.jpg", image.label) for n, image in enumerate(IMAGES)]
ACCENTS = spread("Größe/{n} é.jpg")
READ = {
    # Class folders
    "class folders": Tree(spread("{label}/{n}.jpg")),
    "class folders in one folder": Tree(spread("photos/{label}/{n}.jpg")),
    "class folders four folders down": Tree(spread("a/b/c/d/{label}/{n}.jpg")),
    "class folders beside a readme": Tree(spread("{label}/{n}.jpg"), {"README.md": b"", "cat/notes.txt": b"hello"}),
    "class folders beside videos": Tree(spread("{label}/{n}.jpg"), {"cat/1.mp4": b"", "dog/2.AVI": b""}),
    "class folders beside hidden files": Tree(
        spread("{label}/{n}.jpg"),
        {".git/1.jpg": b"", "cat/.DS_Store": b"", "__MACOSX/cat/._1.jpg": b"", "dog/Thumbs.db": b""},
    ),
    "class folders and loose images": Tree(spread("{label}/{n}.jpg"), {"loose.jpg": b""}),
    "class folders with batches": Tree(
        [*spread("{label}/batch1/{n}.jpg"), *spread("{label}/batch2/{n}.jpg")],
    ),
    "class folders with one more inside": Tree([*spread("{label}/{n}.jpg"), Image("cat/more/9.jpg", "cat")]),
    "class folders with the same folder in each": Tree(spread("{label}/images/{n}.jpg")),
    "classes below sessions": Tree(
        [*spread("session_1/{label}/{n}.jpg"), *spread("session_2/{label}/{n}.jpg")],
    ),
    "many suffixes": Tree(
        [Image(f"{label}/1{suffix}", label) for label in ANIMALS for suffix in (".JPG", ".png", ".TIFF", ".ppm")]
    ),
    "images without a suffix": Tree(
        [], {f"{label}/{n}": PNG for label in ANIMALS for n in range(3)}
    ),
    "classes called by numbers": Tree(spread("{label}/{n}.jpg", labels=("00000", "00001"))),
    "a class called train": Tree(spread("{label}/{n}.jpg", labels=("train", "car", "bus"))),
    "a class called test": Tree(spread("{label}/{n}.jpg", labels=("test", "control"))),
    "names with everything": Tree(
        spread("{label}/a b's \"#1\": é, {n} [x].jpg", labels=("big cat (2023)", "dög #1", "it's", "a:b", "=x,y"))
    ),
    "names of 255 bytes": Tree(spread("{label}/{n}" + "d" * 250 + ".jpg", count=2)),
    # Folds
    "folds above classes": with_folds(TWO),
    "three folds above classes": with_folds(THREE),
    "folds below classes": with_folds(TWO, "{label}/{fold}/{n}.jpg"),
    "folds above classes in a folder": with_folds(THREE, "data/{fold}/{label}/{n}.jpg"),
    "folds between": with_folds(TWO, "images/{fold}/images/{label}/{n}.jpg"),
    "folds of the seed notebook": with_folds({"train": "train", "validation": "val"}),
    "Training and Testing": with_folds({"Training": "train", "Testing": "test"}),
    "valid": with_folds({"train": "train", "valid": "val", "test": "test"}),
    "dev": with_folds({"TRAIN": "train", "dev": "val", "TEST": "test"}),
    "development": with_folds({"train": "train", "development": "val"}),
    "train_images": with_folds({"train_images": "train", "test_images": "test"}),
    "trainset and a year": with_folds({"trainset": "train", "val2017": "val"}),
    "Spanish folds": with_folds({"entrenamiento": "train", "validación": "val", "prueba": "test"}),
    "Spanish folds in another form": with_folds(
        {"entrenamiento": "train", unicodedata.normalize("NFD", "validación"): "val", "pruebas": "test"}
    ),
    "German folds": with_folds({"Training": "train", "Validierung": "val", "Test": "test"}),
    "German data": with_folds({"Trainingsdaten": "train", "Validierungsdaten": "val", "Testdaten": "test"}),
    "French folds": with_folds({"entraînement": "train", "validation": "val", "test": "test"}),
    "Portuguese folds": with_folds({"treino": "train", "validação": "val", "teste": "test"}),
    "folds twice": with_folds(TWO, "set_{fold}/{fold}/{label}/{n}.jpg"),
    "one fold only is none": Tree(spread("train/{label}/{n}.jpg")),
    "a test fold without labels is left out": Tree(
        spread("train/{label}/{n}.jpg"), {f"test/{n}.jpg": b"" for n in range(4)}
    ),
    # Labels in names
    "names before numbers": Tree(spread("{label}.{n}.jpg")),
    "names with a line": Tree(spread("img/{label}_{n}.jpg")),
    "names behind numbers": Tree(spread("{n}_{label}.png")),
    "names with brackets": Tree(spread("{label} ({n}).jpg")),
    "names without anything between": Tree(spread("{label}{n}.jpg")),
    "names of two words": Tree(spread("{label}_{n}.jpg", labels=("polar bear", "sea_lion"))),
    "names in folds": Tree(spread("{fold}/{label}.{n}.jpg", folds=TWO)),
    # Tables
    "CSV": table(write_csv(rows())),
    "CSV with semicolons": table(write_csv(rows(), ";")),
    "CSV with bars": table(write_csv(rows(), "|")),
    "TSV": table(write_csv(rows(), "\t"), file="labels.tsv"),
    "blanks": table(write_csv(rows(), " "), file="labels.txt"),
    "no header": table(write_csv(rows()[1:]), file="labels.txt"),
    "no header and blanks": table("".join(f"{path}   {label}\n" for path, label in rows()[1:]), file="list.txt"),
    "everything quoted": table(write_csv(rows(), quoting=1)),
    "Windows lines": table(write_csv(rows()).replace("\n", "\r\n")),
    "old Mac lines": table(write_csv(rows()).replace("\n", "\r")),
    "UTF-8 with a mark": table(write_csv(rows()).encode("utf-8-sig")),
    "UTF-16": table(write_csv(rows()).encode("utf-16")),
    "Latin-1": table(
        write_csv(rows([Image(i.path, {"cat": "Löwe", "dog": "Bär"}[i.label]) for i in IMAGES])).encode("latin-1"),
        [Image(i.path, {"cat": "Löwe", "dog": "Bär"}[i.label]) for i in IMAGES],
    ),
    "Excel's first line": table("sep=;\n" + write_csv(rows(), ";")),
    "delimiters inside quotes": table(
        write_csv(rows([Image(i.path, f"{i.label}, wild; \"x\"") for i in IMAGES])),
        [Image(i.path, f"{i.label}, wild; \"x\"") for i in IMAGES],
    ),
    "other columns too": table(
        write_csv([("id", "image", "width", "label", "url"), *(
            (n, i.path, 40, i.label, f"http://x/{n}") for n, i in enumerate(IMAGES)
        )])
    ),
    "numbers and words": table(
        write_csv([("image", "label", "class_name"), *((i.path, ANIMALS.index(i.label), i.label) for i in IMAGES)])
    ),
    "one column a class": table(
        write_csv([("image", *ANIMALS), *((i.path, *(float(i.label == a) for a in ANIMALS)) for i in IMAGES)])
    ),
    "a column of folds": table(
        write_csv([("image", "class", "split"), *((i.path, i.label, i.fold) for i in SPLIT)]), SPLIT
    ),
    "JSON Lines": table(write_lines(IMAGES, path="path", label="category"), file="all.jsonl"),
    "JSON": table(
        '{"' + '", "'.join(f'{i.path}": "{i.label}' for i in IMAGES) + '"}', file="labels.json"
    ),
    "Hugging Face's metadata.csv": table(
        write_csv([("file_name", "label"), *((f"{n}.jpg", i.label) for n, i in enumerate(IMAGES))]),
        IMAGES, "img/metadata.csv",
    ),
    "Hugging Face's metadata a folder": Tree(
        spread("{fold}/{n}.jpg", folds=TWO),
        {
            f"{fold}/metadata.jsonl": "".join(
                f'{{"file_name": "{i.path.split("/")[1]}", "label": "{i.label}"}}\n'
                for i in spread("{fold}/{n}.jpg", folds=TWO) if i.fold == fold
            ).encode()
            for fold in TWO
        },
    ),
    "a table a fold": Tree(
        spread("images/{fold}{n}.jpg", folds=TWO),
        {
            f"{fold}.csv": write_csv(
                rows([i for i in spread("images/{fold}{n}.jpg", folds=TWO) if i.fold == fold])
            ).encode()
            for fold in TWO
        },
    ),
    "a table beside class folders that says the same": Tree(
        spread("{label}/{n}.jpg"), {"labels.csv": write_csv(rows(spread("{label}/{n}.jpg"))).encode()}
    ),
    "numbers in a table beside class folders": Tree(
        spread("{label}/{n}.jpg"),
        {"labels.csv": write_csv(
            [("image", "label"), *((i.path, ANIMALS.index(i.label)) for i in spread("{label}/{n}.jpg"))]
        ).encode()},
    ),
    "tables of GTSRB": Tree(
        spread("{label}/{n}.ppm", labels=("00000", "00012")),
        {f"{label}/GT-{label}.csv": write_csv([("Filename", "Width", "Height", "Roi.X1", "ClassId"), *(
            (i.path[6:], 40, 40, 5, int(label))
            for i in spread("{label}/{n}.ppm", labels=("00000", "00012")) if i.label == label
        )], ";").encode() for label in ("00000", "00012")},
    ),
    "a table without labels beside class folders": Tree(
        spread("{label}/{n}.jpg"),
        {"sizes.csv": write_csv([("image", "width"), *((i.path, 40) for i in spread("{label}/{n}.jpg"))]).encode()},
    ),
    "a table inside a folder": table(write_csv(rows()), file="meta/labels.csv"),
    "row numbers in front": table(
        write_csv([("", "id", "label"), *((n, n + 5, i.label) for n, i in enumerate(NUMBERED))]), NUMBERED
    ),
    "folds in a table beside class folders": Tree(
        of_folds(CLASSED), {"split.csv": write_csv(
            [("path", "split"), *((i.path, i.fold) for i in of_folds(CLASSED))]).encode()}
    ),
    "a list a fold": Tree(
        [Image(i.path, i.label, list(TWO)[n % 2]) for n, i in enumerate(CLASSED)],
        {f"splits/{fold}.txt": "".join(f"{i.path}\n" for i in CLASSED[number::2]).encode()
         for number, fold in enumerate(TWO)},
    ),
    "a list of training images alone is no fold": Tree(CLASSED, {"train.txt": f"{CLASSED[0].path}\n".encode()}),
    "a list of test images leaves the others for training": Tree(
        [Image(i.path, i.label, "train" if n else "test") for n, i in enumerate(CLASSED)],
        {"testing_list.txt": f"{CLASSED[0].path}\n".encode()},
    ),
    # Paths of tables
    "stems": with_paths(lambda path: path.split("/")[1][:-4]),
    "names without their folder": with_paths(lambda path: path.split("/")[1]),
    "paths without a suffix": with_paths(lambda path: path[:-4]),
    "paths with another suffix's case": with_paths(lambda path: path.replace(".jpg", ".JPG")),
    "paths in another case": with_paths(str.upper),
    "backslashes": with_paths(lambda path: path.replace("/", "\\")),
    "a dot in front": with_paths(lambda path: f"./{path}"),
    "absolute paths": with_paths(lambda path: f"/home/ann/set/{path}"),
    "Windows paths": with_paths(lambda path: f"C:\\Users\\ann\\set\\{path}".replace("/", "\\")),
    "addresses": with_paths(lambda path: f"https://example.org/a/b/{path}?size=2"),
    "addresses with escapes": with_paths(
        lambda path: f"https://example.org/{path.replace(' ', '%20')}", spread("my img/{n} x.jpg")
    ),
    "the source's own folder in front": with_paths(lambda path: f"mine/{path}"),
    "another Unicode form": with_paths(lambda path: unicodedata.normalize("NFD", path), ACCENTS),
    "the composed form of names in the other": with_paths(
        lambda path: unicodedata.normalize("NFC", path),
        [Image(unicodedata.normalize("NFD", i.path), i.label) for i in ACCENTS],
    ),
    "stems in several folders": with_paths(
        lambda path: path.split("/")[1][:-4],
        [Image(f"part{n % 2}/{n:03}.jpg", i.label) for n, i in enumerate(IMAGES)],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", READ)
def test_a_layout_is_read_as_it_is_meant(tmp_path: Path, name: str) -> None:
    tree = READ[name]
    expected = tree.meaning or sorted((path, path.split("/")[0], "") for path in tree.files)
    assert meaning_of(read(tree.write(tmp_path / "mine"))) == expected


def test_there_are_as_many_layouts_as_promised() -> None:
    assert len(READ) + len(REFUSED) >= 60


OTHER = {"cat": "black", "dog": "white"}
REFUSED: dict[str, tuple[Tree, list[str]]] = {
    "nothing": (Tree([], {"readme.md": b""}), ["is empty", "one folder a class", "1 .md"]),
    "one class": (Tree(spread("{label}/{n}.jpg", labels=["cat"])), ["no sure labels"]),
    "images without labels": (Tree(spread("{n}.jpg")), ["no sure labels", "file names hold no labels"]),
    "two levels of classes": (
        Tree([*spread("mammal/{label}/{n}.jpg"), *spread("bird/{label}/{n}.jpg", labels=("owl", "emu"))]),
        ["two ways", "(bird, mammal)", "data.class_folders='*'", "(cat, dog, emu, owl)", "data.class_folders='*/*'"],
    ),
    "images and masks": (
        Tree([*spread("{label}/images/{n}.png"), *spread("{label}/masks/{n}.png")]), ["folder 'masks' may hold no"],
    ),
    "a table of images in folds and other folders": (
        Tree(spread("{fold}/i{n}.jpg", folds={**TWO, "extra": ""}), {"labels.csv": write_csv(
            rows(spread("{fold}/i{n}.jpg", folds={**TWO, "extra": ""}))).encode()}),
        ["stand others (extra)"],
    ),
    "places or classes": (
        Tree([*spread("indoor/{label}/{n}.jpg"), *spread("outdoor/{label}/{n}.jpg")]), ["two ways"],
    ),
    "folds beside other folders": (
        Tree(spread("{fold}/{label}/{n}.jpg", folds={**TWO, "extra": ""})), ["train", "stand others (extra)"],
    ),
    "folds without classes": (Tree(spread("{fold}/{n}.jpg", folds=TWO)), ["folds", "no class folders"]),
    "classes of one fold only": (
        Tree([*spread("train/{label}/{n}.jpg"), *spread("test/{label}/{n}.jpg", labels=["cat", "emu"])]),
        ["no training images of emu"],
    ),
    "classes that differ in case": (
        Tree(spread("{label}/{n}.jpg", labels=("cat", "Cat", "dog"))), ["'Cat'", "'cat'", "case"],
    ),
    "classes that differ in Unicode form": (
        Tree(spread("{label}/{n}.jpg", labels=("é", unicodedata.normalize("NFD", "é"), "dog"))), ["Unicode form"],
    ),
    "labels that differ in a blank": (
        table(write_csv([*rows()[:4], *((path, "cat ") for path, _ in rows()[4:])])),
        ["differ only in case, blanks", "'cat '"],
    ),
    "a table that contradicts class folders": (
        Tree(spread("{label}/{n}.jpg"), {"labels.csv": write_csv(
            [("image", "class"), *((i.path, "ab"[n % 2]) for n, i in enumerate(spread("{label}/{n}.jpg")))]
        ).encode()}),
        ["two ways", "one folder a class", "labels.csv"],
    ),
    "two tables that differ": (
        table(write_csv(rows()), more={
            "other.csv": write_csv([("image", "class"), *((i.path, n % 2) for n, i in enumerate(IMAGES))]).encode()
        }),
        ["two ways", "labels.csv", "other.csv"],
    ),
    "two columns that may be the label": (
        table(write_csv(
            [("image", "class", "species"), *((i.path, i.label, "ab"[n % 2]) for n, i in enumerate(IMAGES))]
        )),
        ["several columns may be the label ('class', 'species')"],
    ),
    "several classes an image": (
        table(write_csv([("image", "cat", "dog"), *((i.path, 1, n % 2) for n, i in enumerate(IMAGES))])),
        ["no class, or several"],
    ),
    "stems that fit two folders": (
        Tree([*spread("a/{n}.jpg"), *spread("b/{n}.jpg")], {
            "labels.csv": write_csv([("image", "class"), *((n, i.label) for n, i in enumerate(IMAGES))]).encode()
        }),
        ["fit files in several folders", "a/{}", "b/{}"],
    ),
    "rows without a file": (
        table(write_csv([*rows(), ("img/gone.jpg", "cat")])), ["paths without a file (1): 'img/gone.jpg'"],
    ),
    "an image twice": (table(write_csv([*rows(), rows()[1]])), ["paths that are there twice"]),
    "an image without a label": (
        table(write_csv([*rows()[:-1], (IMAGES[-1].path, "")])), ["images without a label (1)"],
    ),
    "folders and a column with other folds": (
        Tree(spread("{fold}/{label}/{n}.jpg", folds=TWO), {"labels.csv": write_csv(
            [("image", "class", "split"), *(
                (i.path, i.label, list(TWO)[n % 2]) for n, i in enumerate(spread("{fold}/{label}/{n}.jpg", folds=TWO))
            )]
        ).encode()}),
        ["is in fold", "let them agree"],
    ),
    "names of several words": (
        Tree(spread("{label}_{n}.jpg", labels=("cat_black", "cat_white", "dog_black"))), ["several words"],
    ),
    "names of two cameras": (Tree(spread("{label}_{n}.jpg", labels=("IMG", "DSC"))), ["may be no labels"]),
    "names on both sides": (
        Tree([*spread("{label}_{n}.jpg", ["cat"]), *spread("{n}_{label}.jpg", ["dog"])]), ["behind it"],
    ),
    "an image in two lists": (
        Tree(CLASSED, {f"{fold}.txt": "".join(f"{i.path}\n" for i in CLASSED).encode() for fold in TWO}),
        ["is in two folds, test and train"],
    ),
    "a list of images that are not there": (
        Tree(CLASSED, {"train.txt": b"cat/0.jpg\ncat/1.jpg\ngone.jpg\n", "test.txt": b"dog/3.jpg\n"}),
        ["train.txt has paths without a file (1): 'gone.jpg'"],
    ),
    "more loose images than others": (
        Tree(spread("{label}/{n}.jpg"), {f"loose {n}.jpg": b"" for n in range(9)}), ["9) than in them (6)"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_told_is_refused_with_what_was_found(tmp_path: Path, name: str) -> None:
    tree, expected = REFUSED[name]
    message = refusal_of(tree.write(tmp_path / "mine"))
    assert message
    for part in expected:
        assert part in message
