"""Corrections made by clicking on the page of findings, in a real browser."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import chromium
from tests.checks.test_corrections import correction
from tests.conftest import draw
from unfreeze.checks import corrections, page
from unfreeze.checks.catalogue import Explanation
from unfreeze.checks.page import Card, CorrectableImage, Editor, Section
from unfreeze.images.originals import Originals

pytestmark = [
    pytest.mark.skipif(chromium.PROGRAM is None, reason="there is no Chromium here"),
    pytest.mark.xdist_group("chromium"),
]

IMAGES = {name: name[0] * 64 for name in ("a.png", "b.png", "c.png", "d.png")}
NASTY = '</script><script>alert(1)</script>, "dog"'
# In the file from the start: one image that the page shows, and one that it does not.
KNOWN = [correction("b" * 64, "relabel", NASTY), correction("f" * 64, "exclude")]


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with chromium.browser(tmp_path_factory.mktemp("browser")) as address:
        yield address


def write(folder: Path, labels: list[str]) -> str:
    cards = []
    for number, (name, digest) in enumerate(IMAGES.items()):
        draw((100, 100, 100), number).save(folder / name)
        label = NASTY if name == "b.png" else "cat"
        cards.append([Card(name, [f"label {label}"], image=CorrectableImage(digest, label, can_keep=True))])
    section = Section("suspect_labels", Explanation("labels look wrong", "They do.", "look"), "warning", 4, 0, cards)
    path = folder / "data.html"
    path.write_text(
        page.render_page(
            "Found", "Four images.", [section], [], images=Originals(folder), max_pixels=10**6, links=[],
            editor=Editor(labels, KNOWN),
        ),
        encoding="utf-8",
    )  # fmt: skip
    return path.as_uri()


def click(image: str, button: str) -> str:
    find = f"box.dataset.path === '{image}'"
    text = f"button.textContent.startsWith('{button}')"
    return (
        f"(() => {{ const box = [...document.querySelectorAll('.correct')].find((box) => {find});"
        f"[...box.querySelectorAll('button')].find((button) => {text}).click(); }})()"
    )


def fill(field: str, text: str) -> str:
    return f"document.querySelector('{field}').value = '{text}'"


DOWNLOAD = "document.querySelector('#corrections button').click()"
STATUS = "document.querySelector('[role=status]').textContent"
PRESSED = "[...document.querySelectorAll('[aria-pressed=true]')].map((button) => button.textContent)"


def test_clicks_are_handed_out_with_what_the_file_has(address: str, tmp_path: Path) -> None:
    downloads = tmp_path / "downloads"
    downloads.mkdir()
    scripts = [
        PRESSED, click("a.png", "relabel to fox"), click("c.png", "keep"), click("d.png", "exclude"),
        click("d.png", "exclude"), PRESSED, STATUS, DOWNLOAD, STATUS, fill("[name=by]", " Ann  Lee "), DOWNLOAD,
        STATUS, fill("[name=reason]", 'on \\"sight\\", quickly'), DOWNLOAD,
    ]  # fmt: skip
    seen = chromium.visit(address, write(tmp_path, ["cat", NASTY, "fox"]), scripts, downloads=downloads)
    assert (seen.requests, seen.problems, seen.dialogs) == ([], [], [])
    first, *_ = seen.values
    assert first == [f"relabel to {NASTY}"]
    assert seen.values[5] == ["relabel to fox", f"relabel to {NASTY}", "keep"]
    assert seen.values[6] == "2 corrections in the file, 2 changed here."
    assert seen.values[8] == "Your name is missing."
    assert seen.values[11] == "A reason is missing."
    found = {one.sha256[0]: one for one in corrections.read(downloads / "corrections.csv")}
    assert {name: (one.action, one.label) for name, one in found.items()} == {
        "a": ("relabel", "fox"), "b": ("relabel", NASTY), "c": ("keep", "cat"), "f": ("exclude", ""),
    }  # fmt: skip
    assert (found["a"].by, found["a"].reason) == ("Ann Lee", 'on "sight", quickly')
    assert [found["b"], found["f"]] == KNOWN


def test_what_the_file_has_can_be_taken_back_and_one_image_has_its_own_reason(address: str, tmp_path: Path) -> None:
    downloads = tmp_path / "downloads"
    downloads.mkdir()
    own = (
        "(() => { const field = document.querySelector('.correct input:not([hidden])'); field.value = 'a wolf';"
        "field.dispatchEvent(new Event('input')); })()"
    )
    scripts = [click("b.png", "relabel to <"), click("a.png", "exclude"), own, fill("[name=by]", "Ann"), DOWNLOAD]
    chromium.visit(address, write(tmp_path, ["cat", NASTY, "fox"]), scripts, downloads=downloads)
    found = {one.sha256[0]: one for one in corrections.read(downloads / "corrections.csv")}
    assert {name: (one.action, one.reason) for name, one in found.items()} == {
        "a": ("exclude", "a wolf"), "f": ("exclude", "seen"),
    }  # fmt: skip


def test_many_labels_are_in_a_list(address: str, tmp_path: Path) -> None:
    downloads = tmp_path / "downloads"
    downloads.mkdir()
    labels = ["cat", NASTY, *(f"class {number}" for number in range(300))]
    choose = (
        "(() => { const list = document.querySelector('.correct select'); const before = list.options.length;"
        "list.dispatchEvent(new Event('focus')); list.value = 'class 7'; list.dispatchEvent(new Event('change'));"
        "return [before, list.options.length]; })()"
    )
    scripts = [choose, fill("[name=by]", "Ann"), fill("[name=reason]", "seen"), DOWNLOAD]
    seen = chromium.visit(address, write(tmp_path, labels), scripts, downloads=downloads)
    assert seen.values[0] == [1, 302]
    found = {one.sha256[0]: one.label for one in corrections.read(downloads / "corrections.csv")}
    assert found == {"a": "class 7", "b": NASTY, "f": ""}
