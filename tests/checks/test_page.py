import re
from pathlib import Path

import pandas as pd

from tests.conftest import draw
from unfreeze.checks import page
from unfreeze.checks.catalogue import Explanation
from unfreeze.checks.page import Card, Editor, Section
from unfreeze.images.originals import Originals

EXPLANATION = Explanation("images are nearly the same", "They are copies.", "look at them")
NASTY = "<script>alert(1)</script>"


def findings_page(tmp_path: Path, groups: list[list[Card]], *, waived: int = 0) -> str:
    section = Section("near_duplicates", EXPLANATION, "warning", len(groups), waived, groups)
    return page.render_page(
        "Found", "Four images.", [section], [], images=Originals(tmp_path), max_pixels=10**6,
        links=[("more", "more.html")], editor=Editor(["cat", NASTY], []),
    )  # fmt: skip


def test_copies_are_shown_side_by_side_with_their_labels(tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        draw((100, 100, 100), 0).save(tmp_path / name)
    text = findings_page(tmp_path, [[Card("a.png", ["label cat"]), Card("b.png", ["label dog"])]])
    assert text.count("data:image/jpeg;base64,/9j/") == 2
    assert re.search(r"a\.png<br>label cat.*b\.png<br>label dog", text, re.DOTALL)
    assert 'href="more.html"' in text


def test_nothing_is_loaded_and_names_are_no_markup(tmp_path: Path) -> None:
    text = findings_page(tmp_path, [[Card(NASTY, [f"label {NASTY}"], has_picture=False)]])
    assert NASTY not in text
    assert "://" not in text
    assert "no picture" in text
    assert "default-src &#39;none&#39;" in text or "default-src 'none'" in text


def test_a_long_list_is_cut_and_says_so(tmp_path: Path) -> None:
    groups = [[Card(f"{number}", [], has_picture=False)] for number in range(100)]
    text = findings_page(tmp_path, groups)
    assert "The first 24 of 100 are shown." in text
    assert text.count("<figure>") == 24


def test_a_large_group_is_cut_and_says_so(tmp_path: Path) -> None:
    text = findings_page(tmp_path, [[Card(f"{number}", [], has_picture=False) for number in range(11)]])
    assert text.count("<figure>") == 8
    assert "and 3 more" in text


def test_a_long_table_is_cut_and_says_so() -> None:
    table = page.Table.of("Classes", pd.DataFrame({"label": range(100_000), "share": 1 / 3}))
    assert table.title == "Classes (the first 100 of 100,000)"
    assert table.rows[:2] == [["0", "0.333"], ["1", "0.333"]]
