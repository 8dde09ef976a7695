"""What a model said of the test fold, image by image."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from unfreeze import files

# What the columns of probabilities begin with.
PROBABILITY = "p_"


@dataclass(frozen=True)
class Predictions:
    """What a model said of the test fold.

    Args:
        table: One row an image: `id`, `label`, `predicted`, `correct` and the probability of each class.
        classes: Class names by number.
    """

    table: pd.DataFrame
    classes: list[str]

    @classmethod
    def read(cls, path: Path) -> "Predictions":
        """Read data/predictions/<backbone>.csv; names such as 007 or NA stay what they are."""
        table = files.read_csv(path)
        columns = [column for column in table.columns if column.startswith(PROBABILITY)]
        table = table.assign(correct=table["correct"] == "True").astype(dict.fromkeys(columns, "float64"))
        return cls(table, [column.removeprefix(PROBABILITY) for column in columns])

    @property
    def labels(self) -> np.ndarray:
        """Class numbers."""
        return pd.Index(self.classes).get_indexer(pd.Index(self.table["label"]))

    @property
    def probabilities(self) -> np.ndarray:
        """Array of shape (images, classes)."""
        return self.table[[PROBABILITY + name for name in self.classes]].to_numpy("float64")

    @property
    def predicted(self) -> np.ndarray:
        """Class numbers."""
        return np.asarray(self.probabilities.argmax(axis=1))
