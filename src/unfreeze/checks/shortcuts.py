"""Shortcuts: properties of the files that predict the label, whatever the images show."""

import pandas as pd
from sklearn.metrics import balanced_accuracy_score
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.tree import DecisionTreeClassifier

PROPERTIES = ("width", "height", "aspect", "bytes", "brightness", "sharpness", "entropy", "format", "mode")
# Enough to distinguish a skill of 0.02 from 0.
MOST_IMAGES = 20_000
FOLDS = 5
# A shortcut shows in a few ranges of values; deeper trees overfit.
DEPTH = 3


def measure_skills(rows: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Measure how well each property alone predicts the label.

    Args:
        rows: The manifest's rows of usable images: `label` and the columns `PROPERTIES`.
        seed: Seed of the sample and of the folds.

    Returns:
        One row a property: `property` and `skill`, the cross-validated balanced accuracy of a small decision tree,
        0 where it is that of chance and 1 where it is perfect. None where there are too few images of each class.
    """
    counts = rows["label"].value_counts()
    rows = rows[rows["label"].isin(counts[counts >= FOLDS].index)]
    if rows["label"].nunique() < 2:
        return pd.DataFrame(columns=["property", "skill"])
    if len(rows) > MOST_IMAGES:
        share = MOST_IMAGES / len(rows)
        # Keep at least one image a fold of a rare class.
        kept = [
            of_class.sample(max(FOLDS, round(share * len(of_class))), random_state=seed)
            for _, of_class in rows.groupby("label")
        ]
        rows = pd.concat(kept)
    values = list_properties(rows)
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=seed)
    tree = DecisionTreeClassifier(max_depth=DEPTH, class_weight="balanced", random_state=seed)
    chance = 1 / rows["label"].nunique()
    found = []
    for name in values:
        skill = 0.0
        if values[name].nunique() > 1:
            predicted = cross_val_predict(tree, values[[name]], rows["label"], cv=folds)
            skill = max(0.0, (balanced_accuracy_score(rows["label"], predicted) - chance) / (1 - chance))
        found.append({"property": name, "skill": skill})
    return pd.DataFrame(found)


def list_properties(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the properties as numbers.

    Args:
        rows: The manifest's rows of usable images.

    Returns:
        float64 table, one row an image; formats and modes become codes.
    """
    table = pd.DataFrame({name: rows[name] for name in PROPERTIES if name in rows})
    table.insert(2, "aspect", rows["width"] / rows["height"])
    for name in ("format", "mode"):
        table[name] = pd.factorize(rows[name], sort=True)[0]
    return table.astype(float)
