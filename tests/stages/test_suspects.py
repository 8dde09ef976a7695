import pandas as pd
import pytest

from tests.conftest import Checkout

pytestmark = pytest.mark.xdist_group("studied")


def test_every_training_and_validation_image_gets_an_opinion(studied: Checkout) -> None:
    table = pd.read_csv(studied.paths.suspects)
    folds = pd.read_csv(studied.paths.split).set_index("id")["fold"]
    assert sorted(table["path"]) == sorted(folds[folds != "test"].index)
    assert table["label_quality"].between(0, 1).all()
    # Red and blue squares are easily told apart, even by untrained layers.
    assert (table["opinion"] == table["label"]).mean() > 0.9
    assert "Suspect labels" in studied.paths.suspects_page.read_text()
