"""The page in a real browser: a real file is dropped on it, pasted, chosen or photographed."""

import base64
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.chromium import PROGRAM, Choose, Drop, Seen, browser, visit
from tests.serving.packed import draw_image
from tests.serving.service.running import Running, run_service

pytestmark = [pytest.mark.skipif(not PROGRAM, reason="there is no Chromium here")]
# Waits for the answer, or for what went wrong.
ANSWERED = """new Promise(done => { const look = () => {
  const shown = id => !document.getElementById(id).hidden;
  if (shown("result") || shown("error") || shown("login")) done(document.body.innerText); else setTimeout(look, 20);
}; look(); })"""
PICTURES = """new Promise(done => { const look = () => {
  const images = [...document.querySelectorAll("#near img")];
  if (images.length && images.every(image => image.naturalWidth)) done(images.map(image => image.alt));
  else setTimeout(look, 20);
}; look(); })"""
OVERFLOW = "document.documentElement.scrollWidth - document.documentElement.clientWidth"


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with browser(tmp_path_factory.mktemp("chromium")) as address:
        yield address


@pytest.fixture
def image(tmp_path: Path) -> Path:
    draw_image("red", 0).save(tmp_path / "mine.png")
    return tmp_path / "mine.png"


def look(chromium: str, running: Running, image: Path, *scripts: str, **options: Any) -> Seen:
    return visit(chromium, f"{running.address}/", [ANSWERED, *scripts], before=Drop(image, "#drop"), **options)


@pytest.mark.parametrize(("width", "dark"), [(1000, False), (360, True)])
def test_a_dropped_file_is_answered(chromium: str, running: Running, image: Path, width: int, dark: bool) -> None:
    seen = look(chromium, running, image, PICTURES, OVERFLOW, width=width, dark=dark)
    text, pictures, overflow = seen.values
    expected = running.ask("/predict", image.read_bytes()).json["predictions"][0]
    assert f"{expected['class']}, {100 * max(expected['probabilities'].values()):.1f} %" in text
    assert (expected["reason"] or "accepted") in text
    for name, share in expected["probabilities"].items():
        assert f"{name}\n{100 * share:.1f} %" in text
    assert pictures == [f"{near['label']}: {near['id']}" for near in expected["nearest"][:6]]
    assert overflow <= 0
    assert seen.problems == []
    # Nothing comes from elsewhere.
    assert all(address.startswith((running.address, "blob:")) for address in seen.requests)


def describe(running: Running, image: bytes) -> str:
    """Return the first line of the page's answer."""
    expected = running.ask("/predict", image).json["predictions"][0]
    return f"{expected['class']}, {100 * max(expected['probabilities'].values()):.1f} %"


# Fires what a browser fires after Ctrl+V; says whether the page takes it in place of the browser.
PASTE = """(() => { const data = new DataTransfer();
  const bytes = Uint8Array.from(atob("%s"), one => one.charCodeAt(0));
  data.items.add("a text beside it", "text/plain");
  data.items.add(new File([bytes], "image.png", { type: "image/png" }));
  return !(document.activeElement || document.body).dispatchEvent(
    new ClipboardEvent("paste", { clipboardData: data, bubbles: true, cancelable: true }));
})()"""
PASTE_TEXT = """(() => { const data = new DataTransfer(); data.items.add("secret", "text/plain");
  return !document.body.dispatchEvent(
    new ClipboardEvent("paste", { clipboardData: data, bubbles: true, cancelable: true })); })()"""


def test_a_pasted_image_is_answered(chromium: str, running: Running, image: Path) -> None:
    data = image.read_bytes()
    paste = PASTE % base64.b64encode(data).decode()
    seen = visit(chromium, f"{running.address}/", [PASTE_TEXT, paste, ANSWERED, PICTURES])
    # Text, such as a token, is left to the browser.
    assert seen.values[:2] == [False, True]
    assert describe(running, data) in seen.values[2]
    assert seen.problems == []


CAMERA = """(() => { const input = document.getElementById("camera"), label = input.labels[0];
  return [input.getAttribute("capture"), input.accept, label.innerText, !!label.offsetParent]; })()"""


@pytest.mark.parametrize(("width", "touch"), [(360, True), (1000, False)])
def test_a_photograph_of_the_camera_is_answered(
    chromium: str, running: Running, image: Path, width: int, touch: bool
) -> None:
    chosen = Choose(image, "#camera")
    seen = visit(
        chromium, f"{running.address}/", [CAMERA, ANSWERED, OVERFLOW], width=width, touch=touch, before=chosen
    )
    # The button is there on touch screens alone.
    assert seen.values[0] == ["environment", "image/*", "Take a photograph", touch]
    assert describe(running, image.read_bytes()) in seen.values[1]
    assert seen.values[2] <= 0
    assert seen.problems == []


def test_a_chosen_file_is_answered_and_can_be_chosen_again(chromium: str, running: Running, image: Path) -> None:
    kept = """document.getElementById("file").files.length"""
    seen = visit(chromium, f"{running.address}/", [ANSWERED, kept], before=Choose(image, "#file"))
    assert describe(running, image.read_bytes()) in seen.values[0]
    # An input that keeps its file reports no change when the same one is chosen.
    assert seen.values[1] == 0


def test_a_file_that_is_no_image_is_refused_in_words(chromium: str, running: Running, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("a picture")
    (text,) = look(chromium, running, tmp_path / "notes.txt").values
    assert "text, which begins with 'a picture'" in text


def test_the_keyboard_reaches_all_and_the_screen_reader_hears_the_answer(
    chromium: str, running: Running, image: Path
) -> None:
    names = """[...document.querySelectorAll("input, button")].filter(one => one.offsetParent)
      .map(one => (one.labels && one.labels[0] ? one.labels[0] : one).innerText)"""
    silent = """[...document.images].filter(one => !one.hidden && one.offsetParent && !one.alt).length"""
    heard = """document.querySelector("[role=status]").innerText"""
    _, reached, unnamed, said = look(chromium, running, image, names, silent, heard).values
    assert reached[0] == "Choose an image"
    assert reached[1].startswith("Show what speaks for ")
    assert unnamed == 0
    assert "%" in said


def test_a_token_is_asked_for(chromium: str, packed: Path, image: Path) -> None:
    enter = """(() => { document.getElementById("token").value = "secret";
      document.getElementById("login").requestSubmit(); })()"""
    with run_service(packed, token="secret") as running:
        seen = look(chromium, running, image, enter, "new Promise(done => setTimeout(done, 50))", ANSWERED, PICTURES)
    assert "Token of this service" in seen.values[0]
    assert "Probabilities" in seen.values[3]
    assert len(seen.values[4]) == 6


def test_grad_cam_is_shown_where_the_keras_file_is(chromium: str, packed: Path, tmp_path: Path, image: Path) -> None:
    folder = Path(shutil.copytree(packed, tmp_path / "packed/from_scratch"))
    shutil.copy(packed.parents[1] / "from_scratch.keras", tmp_path)
    press = """new Promise(done => { document.getElementById("explain").click(); const look = () => {
      const heat = document.getElementById("heat"), error = document.getElementById("error");
      if (heat.naturalWidth || !error.hidden) done([heat.naturalWidth, heat.alt, error.innerText]);
      else setTimeout(look, 50); }; look(); })"""
    with run_service(folder) as running:
        seen = look(chromium, running, image, press)
    width, alt, error = seen.values[1]
    assert (width, error) == (32, "")
    assert "what speaks for" in alt
