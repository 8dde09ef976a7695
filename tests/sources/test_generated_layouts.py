"""A thousand generated trees: each is read as its generator means it, or refused."""

import tempfile
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from tests.sources.layouts import Image, Tree, meaning_of, read, spread, write_csv, write_lines
from unfreeze.errors import UnfreezeError

EXAMPLES = 1000
LABELS = (
    "cat", "dog", "Großer Hund", "train", "images", "0", "1", "00012", "n01440764", "a b", "it's", "#1", "c:d", "-",
    "data", "IMG", "2021", "x" * 60, "NA", "True", "猫", "polar_bear", "polar", "bear", "unknown", "group1", "a.b",
)  # fmt: skip
FOLDERS = ("photos", "my set (2023)", "v1.0", "données", "images", "train", "x", "a", "2021", "raw data")
FOLDS = (
    {"train": "train", "test": "test"},
    {"Training": "train", "Testing": "test"},
    {"train": "train", "validation": "val"},
    {"train": "train", "valid": "val", "test": "test"},
    {"treino": "train", "validação": "val", "teste": "test"},
    {"entrenamiento": "train", "prueba": "test"},
    {"train_set": "train", "dev_set": "val"},
)
SUFFIXES = (".jpg", ".png", ".JPEG", ".tif", ".webp", ".ppm")
NOISE = {
    "README.md": b"hello", "notes.txt": b"one line\n", ".DS_Store": b"x", ".git/config": b"x", "LICENSE": b"text",
    "__MACOSX/._1.jpg": b"x", "classes.txt": b"cat\ndog\n", "cameras.csv": b"camera,lens\na,1\nb,2\n",
    "movie.mp4": b"x", "loose.jpg": b"", "unsorted/1.jpg": b"", "settings.json": b'{"a": 1}', "thumb.PNG": b"",
    "labels.txt": b"cat 0\ndog 1\n", "script.py": b"print()", "docs/guide.pdf": b"x",
    "old/labels.csv": b"image,class\ngone.jpg,cat\n",
}  # fmt: skip

labels = st.lists(st.sampled_from(LABELS), min_size=2, max_size=5, unique=True)
wrappers = st.lists(st.sampled_from(FOLDERS), max_size=3).map(lambda parts: "".join(f"{part}/" for part in parts))
counts = st.integers(2, 5)
suffixes = st.sampled_from(SUFFIXES)
noises = st.lists(st.sampled_from(sorted(NOISE)), max_size=3, unique=True)
styles = st.sampled_from(("as they are", "stems", "names", "backslashes", "absolute", "upper case"))


def escape(text: str) -> str:
    return text.replace("{", "{{").replace("}", "}}")


@st.composite
def folder_trees(draw: st.DrawFn) -> Tree:
    """Draw class folders at any depth, with folds or without, and perhaps with folders inside."""
    wrapper, suffix = escape(draw(wrappers)), draw(suffixes)
    template = draw(
        st.sampled_from(
            ("{label}/{n}", "{label}/a{n}", "{label}/in/{n}", "{fold}/{label}/{n}", "{label}/{fold}/{n}",
             "{fold}/images/{label}/{n}", "{fold}/{label}/deep/er/{n}")
        )
    )  # fmt: skip
    folds = draw(st.sampled_from(FOLDS)) if "{fold}" in template else None
    made = spread(f"{wrapper}{template}{suffix}", draw(labels), folds, draw(counts))
    return Tree(made)


@st.composite
def nested_trees(draw: st.DrawFn) -> Tree:
    """Draw folders in folders of which the inner or the outer ones are the classes."""
    outer, inner = draw(labels), draw(labels)
    is_inner, wrapper = draw(st.booleans()), draw(wrappers)
    made = []
    for above in outer:
        for below in draw(st.lists(st.sampled_from(inner), min_size=1, unique=True)):
            made += [Image(f"{wrapper}{above}/{below}/{n}.jpg", below if is_inner else above) for n in range(2)]
    # One class is no data set.
    assume(len({image.label for image in made}) > 1)
    return Tree(made)


@st.composite
def table_trees(draw: st.DrawFn) -> Tree:
    """Draw images with a table that gives their labels, in one of many forms."""
    wrapper, suffix = escape(draw(wrappers)), draw(suffixes)
    folder = draw(st.sampled_from(("", "img/", "a/b/", "part1/")))
    made = spread(f"{wrapper}{folder}i{{n}}{suffix}", draw(labels), None, draw(counts))
    style = draw(styles)
    if draw(st.booleans()):
        made = [Image(image.path, image.label, ("train", "test")[n % 2]) for n, image in enumerate(made)]
    given_folds = any(image.fold for image in made)
    form = draw(st.sampled_from((",", ";", "\t", "|", "jsonl")))
    named = [Image(_write_path(image.path.removeprefix(wrapper), style), image.label, image.fold) for image in made]
    if form == "jsonl":
        text = write_lines(named, path="file_name", label="label", **({"fold": "split"} if given_folds else {}))
    else:
        header = ("image", "class", *(("split",) if given_folds else ()))
        rows = [(i.path, i.label, *((i.fold,) if given_folds else ())) for i in named]
        text = write_csv([header, *rows], form)
    encoding = draw(st.sampled_from(("utf-8", "utf-8-sig", "utf-16")))
    text = text.replace("\n", draw(st.sampled_from(("\n", "\r\n"))))
    name = draw(st.sampled_from(("labels", "train", "metadata")))
    file = f"{wrapper}{name}.{'jsonl' if form == 'jsonl' else 'csv'}".replace("{{", "{").replace("}}", "}")
    return Tree(made, {file: text.encode(encoding)})


def _write_path(path: str, style: str) -> str:
    changed = {
        "as they are": path, "stems": path.rpartition(".")[0].rpartition("/")[2], "names": path.rpartition("/")[2],
        "backslashes": path.replace("/", "\\"), "absolute": f"/home/ann/{path}", "upper case": path.upper(),
    }  # fmt: skip
    return changed[style]


@st.composite
def name_trees(draw: st.DrawFn) -> Tree:
    """Draw one folder of images with their labels in their names."""
    template = draw(st.sampled_from(("{label}.{n}.jpg", "{label}_{n}.png", "{n}_{label}.jpg", "{label}{n}.jpg")))
    # Nobody can tell 1 of group1 from the number behind it.
    names = [label for label in draw(labels) if not label[-1].isdigit() or "{label}{n}" not in template]
    assume(len(names) > 1)
    return Tree(spread(f"{escape(draw(wrappers))}{template}", names, None, draw(counts)))


@st.composite
def trees(draw: st.DrawFn) -> Tree:
    """Draw a tree of any kind, with noise."""
    tree = draw(st.one_of(folder_trees(), nested_trees(), table_trees(), name_trees()))
    taken = {image.path for image in tree.truth} | tree.files.keys()
    folders = {path.rpartition("/")[0] for path in taken}
    noise = {name: NOISE[name] for name in draw(noises) if name not in taken and name.split("/")[0] not in folders}
    return Tree(tree.truth, {**noise, **tree.files})


def judge(tree: Tree) -> bool:
    """Tell whether a tree is read; what is read is compared with what it means."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            layout = read(tree.write(Path(folder) / "set"))
        except UnfreezeError:
            return False
    assert meaning_of(layout) == tree.meaning
    return True


@pytest.mark.slow
def test_a_generated_tree_is_read_as_meant_or_refused() -> None:
    outcomes: Counter[bool] = Counter()

    @settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
    @given(trees())
    def judge_one(tree: Tree) -> None:
        outcomes[judge(tree)] += 1

    judge_one()
    assert outcomes.total() >= EXAMPLES
    # Whoever refuses everything misreads nothing.
    assert outcomes[True] > EXAMPLES / 3
