from pathlib import Path

import pandas as pd
import pytest

from tests.conftest import Checkout
from unfreeze.checks.corrections import Correction
from unfreeze.checks.waivers import Waiver
from unfreeze.paths import Paths
from unfreeze.stages import suspects

OPINIONS = pd.DataFrame(
    {
        "path": ["a", "b", "c", "d"], "label": ["cat"] * 4, "opinion": ["dog", "dog", "dog", "cat"],
        "opinion_probability": [0.99, 0.97, 0.6, 0.9], "label_quality": [0.01, 0.03, 0.4, 0.9],
    }
)  # fmt: skip
DIGESTS = pd.Series({name: name * 64 for name in "abcd"})


def test_labels_that_the_probes_are_sure_to_be_wrong_are_suspect() -> None:
    assert suspects.mark_suspects(OPINIONS, DIGESTS, 0.05, [])["suspect_labels"].tolist() == [
        True,
        True,
        False,
        False,
    ]
    # Of a hundred classes every probability is low: what counts is how far the label lies behind.
    flat = OPINIONS.assign(opinion_probability=0.04, label_quality=[0.001, 0.02, 0.03, 0.04])
    assert suspects.mark_suspects(flat, DIGESTS, 0.05, [])["suspect_labels"].tolist() == [True, False, False, False]


def test_a_suspect_that_someone_has_looked_at_is_let_pass() -> None:
    waiver = Waiver.model_validate(
        {"check": "suspect_labels", "image": "b" * 64, "reason": "a fox", "expires": "2030-01-01"}
    )
    table = suspects.mark_suspects(OPINIONS, DIGESTS, 0.05, [waiver])
    assert table["suspect_labels"].tolist() == [True, False, False, False]
    assert table["waived"].tolist() == [False, True, False, False]


def test_a_suspect_whose_label_somebody_kept_is_not_listed_again() -> None:
    kept = Correction.model_validate(
        {"sha256": "a" * 64, "action": "keep", "label": "cat", "reason": "a lynx", "by": "Ann", "date": "2030-01-01"}
    )
    table = suspects.mark_suspects(OPINIONS, DIGESTS, 0.05, [], [kept])
    assert table["suspect_labels"].tolist() == [False, True, False, False]
    assert table["waived"].tolist() == [True, False, False, False]


@pytest.mark.xdist_group("studied")
def test_every_training_and_validation_image_gets_an_opinion(studied: Checkout) -> None:
    table = pd.read_csv(studied.paths.suspects)
    folds = pd.read_csv(studied.paths.split).set_index("id")["fold"]
    assert sorted(table["path"]) == sorted(folds[folds != "test"].index)
    assert table["label_quality"].between(0, 1).all()
    assert set(table["opinion"]) <= {"red", "blue"}
    assert "Suspect labels" in studied.paths.suspects_page.read_text()


@pytest.mark.xdist_group("studied")
def test_pixels_alone_are_not_probed(studied: Checkout) -> None:
    with studied.changed_params(study={"backbones": ["from_scratch"]}):
        written = (studied.paths.suspects, studied.paths.suspects_page, studied.paths.checks("suspects"))
        before = {path: path.read_bytes() for path in written}
        shown = studied.run("unfreeze", "suspects")
        assert "labels are not probed: from_scratch has no stored features, only pixels" in shown
        assert pd.read_csv(studied.paths.suspects).empty
        for path, content in before.items():
            path.write_bytes(content)


def test_a_page_without_opinions_says_that_no_label_was_judged(tmp_path: Path) -> None:
    none = pd.DataFrame(columns=suspects.COLUMNS)
    assert suspects.describe_table(none, 0, "from_scratch", Paths(tmp_path)).startswith("No label was judged")
    one = none.reindex([0])
    assert suspects.describe_table(one, 1, "xception", Paths(tmp_path)).startswith("1 images of the training")
    assert suspects.describe_table(one, 9, "xception", Paths(tmp_path)).startswith("A sample of 1 of the 9 images of")
