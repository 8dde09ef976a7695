import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tests.report.conftest import NASTY, interval, jpeg, mistakes, recorded, study, verdict
from unfreeze.figures import theme
from unfreeze.report import page as pages

FOUND = {
    "backbone": "vgg16", "check": "low_recall", "level": "warning", "what": "Half of the dogs are missed.",
    "cause": "There are few.", "remedy": "Add some.",
}  # fmt: skip


class Read(HTMLParser):
    """What a page holds, as a browser would take it apart."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.texts: list[str] = []
        self.scripts: dict[str, list[str]] = {"": [], "application/json": []}
        self.policy = ""
        self._kind: str | None = None
        self.feed(page)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        held = {name: value or "" for name, value in attributes}
        self.tags.append((tag, held))
        self._kind = held.get("type", "") if tag == "script" else None
        if held.get("http-equiv") == "Content-Security-Policy":
            self.policy = held["content"]

    def handle_endtag(self, tag: str) -> None:
        self._kind = None

    def handle_data(self, data: str) -> None:
        if self._kind is None:
            self.texts.append(data)
        else:
            self.scripts[self._kind].append(data)

    def every(self, name: str) -> list[str]:
        return [held[name] for _, held in self.tags if name in held]

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).replace("\u00a0", " ").split())


@pytest.fixture(scope="module")
def whole() -> str:
    return pages.build_page(study(verdict(findings=[FOUND])))


@pytest.fixture(scope="module")
def read(whole: str) -> Read:
    return Read(whole)


def charts(read: Read) -> list[dict[str, Any]]:
    held = [json.loads(text) for text in read.scripts["application/json"]]
    return [spec for spec in held if "layer" in spec]


def test_nothing_is_loaded(whole: str, read: Read) -> None:
    assert all(address.startswith("data:image/jpeg;base64,") for address in read.every("src"))
    assert all(address.startswith("http://www.w3.org/") for address in re.findall(r"https?://[^\"'\s]*", whole))
    assert not [tag for tag, _ in read.tags if tag in ("link", "iframe", "object", "embed", "base", "form")]


def test_only_its_own_scripts_may_run(read: Read) -> None:
    digests = [
        "sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in read.scripts[""]
    ]
    assert len(digests) == 2
    allowed = dict(part.split(maxsplit=1) for part in read.policy.split(";"))
    assert allowed["script-src"].split() == [f"'{digest}'" for digest in digests]
    assert allowed["default-src"] == "'none'"
    assert allowed["img-src"] == "data:"


def test_links_resolve(read: Read) -> None:
    ids = read.every("id")
    assert len(ids) == len(set(ids))
    for address in read.every("href"):
        assert address[1:] in ids if address.startswith("#") else address in ("data.html", "suspects.html")
    assert {"#verdict", "#backbone-xception", "data.html"} <= set(read.every("href"))


def test_headings_are_in_order(read: Read) -> None:
    levels = [int(tag[1]) for tag, _ in read.tags if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in zip(levels[:-1], levels[1:], strict=True))


def test_charts_are_told_in_words_and_numbers(read: Read) -> None:
    drawn = [held for _, held in read.tags if held.get("class") == "chart"]
    assert len(drawn) == len(charts(read)) > 10
    assert all(held["role"] == "img" and held["aria-label"].endswith(".") for held in drawn)
    assert read.text.count("The numbers") == len(drawn)
    assert all(held.get("scope") in ("col", "row") for tag, held in read.tags if tag == "th")
    assert all("alt" in held for tag, held in read.tags if tag == "img")


def test_the_verdict_comes_first_and_all_parts_follow(read: Read) -> None:
    parts = [
        "Take xception", "5 models were evaluated on this test fold, 2 of them before this study.",
        "Half of the dogs are missed.",
        "from_scratch (baseline)", "a difference of 2.0 points", "xception is better",
        "Accuracy and latency, batch 32",
        "Training: accuracy", "ROC: dog", "Precision-recall: dog", "Settings", "Most confused",
        "Trained with 3 seeds", "Confusion matrix", "Corrupted images", "Twice the images", "Reliability",
        "Search: unfreeze point", "module = poly",
        "predicted cat 98.0 %, true dog",
        "Most similar training images", "blurry (warning, 12)", "f" * 64,
    ]  # fmt: skip
    places = [read.text.index(part) for part in parts]
    assert places == sorted(places)


def test_exported_formats_have_a_section(read: Read) -> None:
    made = Read(pages.build_page(study(exports=[recorded("xception", "onnx"), recorded("vgg16", model="b" * 64)])))
    assert "#exports" in made.every("href")
    assert "xception onnx 20.5 5.25 190 2.5e-06 95.0 % 0.750" in made.text
    assert "The exports recorded for vgg16 are of another model" in made.text
    assert "#exports" not in read.every("href")


def test_charts_hold_no_address_and_no_theme(read: Read) -> None:
    for spec in charts(read):
        assert spec["width"] == "container"
        assert not {"$schema", "config"} & set(spec)


def test_names_are_shown_and_never_run() -> None:
    of = verdict(
        {NASTY: 0.9, "vgg16": 0.8}, classes=[NASTY, "dog"], findings=[{**FOUND, "backbone": NASTY, "what": NASTY}]
    )
    of["study"] |= {"name": NASTY, "data": "</script></title>", "baseline": NASTY}
    of["verdict"]["text"] = NASTY
    page = pages.build_page(study(of, pictures=mistakes([NASTY, "dog"])))
    read = Read(page)
    assert len(read.scripts[""]) == 2
    assert "alert(1)" not in "".join(read.scripts[""])
    assert not [tag for tag, held in read.tags if any(name.startswith("on") for name in held)]
    assert read.text.count(NASTY) > 20
    assert any(NASTY in json.dumps(spec, ensure_ascii=False).replace('\\"', '"') for spec in charts(read))
    ids = read.every("id")
    assert all(address[1:] in ids for address in read.every("href") if address.startswith("#"))


@pytest.mark.slow
def test_many_classes_are_cut_and_it_is_said() -> None:
    classes = [f"class {number:03}" for number in range(200)]
    of = verdict({"xception": 0.9, "vgg16": 0.8}, classes=classes, images=2000)
    for row in of["rows"]:
        row["classes"]["class 137"]["recall"] = interval(0.1)
    page = pages.build_page(study(of, pictures=mistakes(classes)))
    read = Read(page)
    assert "the 12 of 200 classes with the lowest mean recall" in read.text
    assert "the 20 of 200 with the lowest recall" in read.text
    assert len(set(re.findall(r"ROC: (class \d+)", read.text))) == 12
    assert "ROC: class 137" in read.text
    assert "The 50 largest confusions" in read.text
    assert "Most confused" in read.text
    assert len(page) < 5e6


def test_one_backbone_has_no_pairs() -> None:
    read = Read(pages.build_page(study(verdict({"from_scratch": 0.9}))))
    assert "#pairs" not in read.every("href")
    assert "McNemar" not in read.text
    assert "Accuracy with 95 % intervals" in read.text


def test_what_is_missing_is_left_out_or_marked() -> None:
    of = verdict(classes=["cat", "dog", "horse"], images=900)
    of["smallest_difference"] = 1.0
    for row in of["rows"]:
        row |= {"seeds": None, "corruptions": [], "learning_curve": None, "slices": [], "confused": [], "gain": None}
        row["classes"]["horse"] = {name: interval(None) for name in ("precision", "recall", "f1")} | {"support": 0}
        row["scores"]["auc"] = interval(None)
        row["cost"]["latency_ms"] = {}
    made = study(of, pictures=mistakes(of["classes"]).iloc[:0])
    read = Read(pages.build_page(made))
    for absent in (
        "seeds",
        "Corrupted images",
        "Learning curve",
        "Slices",
        "80 % power",
        "latency",
        "Most similar",
    ):
        assert absent not in read.text
    assert "There are none to show." in read.text
    assert "horse – – – 0" in read.text
    assert "Accuracy and multiply-adds" in read.text


def test_pictures_read_from_a_file_are_shown(tmp_path: Path) -> None:
    pictures = mistakes(["cat", "dog"], count=30)
    pictures["heatmap"] = None
    pictures.to_parquet(tmp_path / "b.parquet")
    read = Read(pages.build_page(study(verdict({"xception": 0.9}), pictures=pd.read_parquet(tmp_path / "b.parquet"))))
    shown = [held for tag, held in read.tags if tag == "img"]
    # 30 of each kind, each with three neighbours and without a heatmap.
    assert len(shown) == 2 * 30 * 4
    assert shown[0]["alt"] == "dog/0.png"


@pytest.mark.slow
def test_six_backbones_with_pictures_stay_small() -> None:
    names = ("xception", "vgg16", "resnet50", "inceptionv3", "efficientnetb0", "from_scratch")
    of = verdict({name: 0.9 - number / 50 for number, name in enumerate(names)}, images=10_000)
    made = study(of, pictures=mistakes(of["classes"], 24, jpeg(0, side=92)))
    size = len(pages.build_page(made).encode())
    assert 5e6 < size < 15e6


def luminance(colour: str) -> float:
    """Return the relative luminance of a colour, by https://www.w3.org/TR/WCAG22/."""
    digits = colour.lstrip("#")
    full = digits if len(digits) == 6 else "".join(2 * digit for digit in digits)
    parts = [int(full[place : place + 2], 16) / 255 for place in (0, 2, 4)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_text_and_lines_stand_out_in_both_themes() -> None:
    for colours in (theme.LIGHT, theme.DARK):
        paper = luminance(colours["paper"])
        for name in {*colours} - {"paper", "line", "soft"}:
            least = 3 if name.startswith("series") else 4.5
            light, dark = sorted([luminance(colours[name]), paper], reverse=True)
            assert (light + 0.05) / (dark + 0.05) >= least, name


def test_two_pages_of_one_study_are_equal(whole: str) -> None:
    assert pages.build_page(study(verdict(findings=[FOUND]))) == whole
