from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from unfreeze.errors import UnfreezeError
from unfreeze.report import page as pages
from unfreeze.report import readme, text
from unfreeze.stages.compare import with_gain

ROW = {
    "backbone": "from_scratch", "weights": "none (trained from scratch)", "pretrained": False, "unfreeze_from": "all",
    "learning_rate": 1e-3, "parameters": 97_698, "trainable_parameters": 97_698, "images": 100, "accuracy": 0.75,
    "balanced_accuracy": 0.7, "macro_f1": 0.71, "log_loss": 0.5, "auc": 0.8, "majority": 0.6,
}  # fmt: skip
BETTER = {
    **ROW,
    "backbone": "xception",
    "weights": "wheel x==1",
    "accuracy": 0.85,
    "unfreeze_from": "block14_sepconv1",
}
NOISE = {**ROW, "backbone": "vgg16", "weights": "RANDOM", "accuracy": 0.65}


def comparison(*rows: dict[str, Any]) -> dict[str, Any]:
    ranked = with_gain(list(rows), "from_scratch")
    return {"study": "quick", "data": "cells", "image_size": 160, "baseline": "from_scratch", "rows": ranked}


def test_the_best_comes_first_with_its_gain() -> None:
    written = text.markdown(comparison(ROW, BETTER))
    assert written.index("| xception") < written.index("| from_scratch")
    assert "| 0.8500 | +10.0 |" in written
    assert "xception, accuracy 0.8500 (always naming the largest class: 0.6000)" in written
    assert "10.0 points above from_scratch" in written


def test_random_weights_are_marked() -> None:
    written = text.markdown(comparison(ROW, NOISE))
    assert "| vgg16 | RANDOM |" in written
    assert "RANDOM weights, so no measure of transfer: vgg16" in written


def test_without_the_baseline_there_is_no_gain() -> None:
    (row,) = comparison(BETTER)["rows"]
    assert row["gain"] is None
    assert "points above" not in text.markdown(comparison(BETTER))


def test_a_tie_goes_to_fewer_trained_parameters() -> None:
    smaller = {**BETTER, "backbone": "small", "trainable_parameters": 10}
    assert [row["backbone"] for row in comparison(BETTER, smaller)["rows"]] == ["small", "xception"]


def test_the_page_loads_nothing(tmp_path: Path) -> None:
    Image.new("RGB", (2, 2)).save(tmp_path / "x.png")
    page = pages.page(comparison(ROW, BETTER), {"a <picture>": tmp_path / "x.png"}, {"the checks": "data.html"})
    addresses: list[str] = []

    class Reader(HTMLParser):
        def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
            addresses.extend(value or "" for name, value in attributes if name in ("src", "href"))

    Reader().feed(page)
    assert "data.html" in addresses
    assert all(address.startswith("data:image/png;base64,") for address in addresses if address != "data.html")
    assert "a &lt;picture&gt;" in page


CHECKED = [
    {
        "rows": 2000,
        "expectations": [
            {"column": "blurry", "level": "warning", "unexpected": 12},
            {"column": "dark", "level": "warning", "unexpected": 0},
        ],
    }
]


def test_the_readmes_results_are_replaced() -> None:
    def marked(text: str) -> str:
        blocks = [
            f"<!-- {name}: written by `make readme` -->\n{text}\n<!-- end of {name} -->"
            for name in ("results", "findings")
        ]
        return "before\n" + "\nbetween\n".join(blocks) + "\nafter\n"

    new = readme.with_results(marked("old"), comparison(ROW, BETTER), CHECKED)
    assert "old" not in new
    assert "| xception |" in new
    assert "| `blurry` | warning | 12 of 2,000 |\n<!-- end" in new
    assert [new.count(word) for word in ("before", "between", "after")] == [1, 1, 1]
    assert readme.with_results(new, comparison(ROW, BETTER), CHECKED) == new
    with pytest.raises(UnfreezeError, match="lacks"):
        readme.with_results("nothing", comparison(ROW), CHECKED)
