"""The page in a real browser: what runs, what is drawn, what is asked for."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import chromium
from tests.report.conftest import NASTY, mistakes, study, verdict
from unfreeze.report import page as pages

pytestmark = [
    pytest.mark.skipif(chromium.PROGRAM is None, reason="there is no Chromium here"),
    pytest.mark.xdist_group("chromium"),
]

# Scrolls past every chart and waits until all are drawn.
SEE_ALL = """(async () => {
  const page = document.documentElement;
  for (const box of document.querySelectorAll(".chart")) {
    box.scrollIntoView();
    await new Promise((done) => setTimeout(done, 20));
  }
  const end = Date.now() + 20000;
  while (page.dataset.drawn !== page.dataset.charts && Date.now() < end) {
    await new Promise((done) => setTimeout(done, 50));
  }
  return { ...page.dataset, pictures: document.querySelectorAll(".chart svg").length };
})()"""
COUNTS = "({ ...document.documentElement.dataset })"
WIDTH = "document.documentElement.scrollWidth"
LABEL = "getComputedStyle(document.querySelector('.chart svg .mark-text text')).fill"
OPEN = "document.querySelectorAll('details[open]').length"


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with chromium.browser(tmp_path_factory.mktemp("browser")) as address:
        yield address


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("page") / "index.html", pages.build_page(study()))


def write(path: Path, page: str) -> Path:
    path.write_text(page, encoding="utf-8")
    return path


@pytest.mark.parametrize(("width", "dark"), [(360, False), (1200, True)])
def test_every_chart_is_drawn_and_nothing_is_asked_for(address: str, plain: Path, width: int, dark: bool) -> None:
    seen = chromium.visit(address, plain.as_uri(), [SEE_ALL, WIDTH, LABEL], width=width, dark=dark)
    counts, scrolled, label = seen.values
    assert counts["drawn"] == counts["charts"] == str(counts["pictures"])
    assert counts["errors"] == "0"
    assert (seen.requests, seen.problems, seen.dialogs) == ([], [], [])
    assert scrolled <= width
    assert label == ("rgb(163, 173, 184)" if dark else "rgb(87, 96, 106)")


def test_charts_far_below_wait(address: str, plain: Path) -> None:
    (counts,) = chromium.visit(address, plain.as_uri(), [COUNTS]).values
    assert int(counts["drawn"]) < int(counts["charts"])


def test_print_holds_all_charts_and_numbers(address: str, plain: Path) -> None:
    before, after = "dispatchEvent(new Event('beforeprint'))", "dispatchEvent(new Event('afterprint'))"
    details = "document.querySelectorAll('details').length"
    pdf = plain.with_suffix(".pdf")
    seen = chromium.visit(address, plain.as_uri(), [COUNTS, OPEN, before, OPEN, details, after, OPEN], pdf=pdf)
    counts, closed, _, opened, every, _, closed_again = seen.values
    assert counts["drawn"] == counts["charts"]
    assert counts["errors"] == "0"
    assert (closed, opened, closed_again) == (0, every, 0)
    assert pdf.stat().st_size > 10_000


def test_names_with_markup_never_run(address: str, tmp_path: Path) -> None:
    of = verdict({NASTY: 0.9, "</script>": 0.8, "x" * 90: 0.7}, classes=[NASTY, "y" * 90, "dog"], images=900)
    of["study"]["name"] = NASTY
    of["verdict"]["text"] = NASTY
    page = write(tmp_path / "index.html", pages.build_page(study(of, pictures=mistakes(of["classes"]))))
    seen = chromium.visit(
        address, page.as_uri(), [SEE_ALL, WIDTH, "document.querySelector('h1').textContent"], width=360
    )
    counts, scrolled, heading = seen.values
    assert counts["drawn"] == counts["charts"]
    assert (seen.requests, seen.problems, seen.dialogs) == ([], [], [])
    assert scrolled <= 360
    assert heading.startswith(NASTY)


def test_a_script_that_is_not_the_pages_own_is_refused(address: str, plain: Path, tmp_path: Path) -> None:
    changed = plain.read_text(encoding="utf-8").replace("</body>", "<script>alert(1)</script></body>")
    seen = chromium.visit(address, write(tmp_path / "index.html", changed).as_uri(), [COUNTS])
    assert seen.dialogs == []
    assert any("Content Security Policy" in problem for problem in seen.problems)
