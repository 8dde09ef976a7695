"""Probes: linear classifiers on a backbone's features, and their opinion of each label."""

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

FOLDS = 5
# With weaker regularisation the probe overfits wrong labels. Of 20 flipped labels among 4,000 cats and dogs, 18 and
# 19 are among the 40 most suspect with 160 features of MobileNetV2; 16 to 19 are with values from 1e-4 to 1e-2.
INVERSE_REGULARIZATION = 1e-3
MOST_STEPS = 500


def make_probe() -> Pipeline:
    """Return an unfitted probe: standardised features, then logistic regression."""
    return make_pipeline(
        StandardScaler(),
        LogisticRegression(C=INVERSE_REGULARIZATION, class_weight="balanced", max_iter=MOST_STEPS),
    )


def limit_to_one_thread() -> threadpool_limits:
    """Return a context in which matrix products use one thread.

    On a busy machine several threads take up to thirty times as long for products as small as a probe's, and their
    number would change the last digits.
    """
    return threadpool_limits(1)


def cross_validate(features: np.ndarray, labels: np.ndarray, groups: np.ndarray, seed: int) -> np.ndarray:
    """Predict each image's class by a probe that has seen neither the image nor a copy of it.

    Args:
        features: float32 array of shape (images, features).
        labels: Class numbers, each class with images in at least `FOLDS` groups.
        groups: Group number of each image; images that belong together share one.
        seed: Seed of the folds.

    Returns:
        Probabilities, float64 array of shape (images, classes).
    """
    folds = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=seed)
    with limit_to_one_thread():
        probabilities: np.ndarray = cross_val_predict(
            make_probe(), features, labels, groups=groups, cv=folds, method="predict_proba"
        )
    return probabilities


def tabulate_opinions(
    paths: list[str], labels: np.ndarray, probabilities: np.ndarray, classes: list[str]
) -> pd.DataFrame:
    """Compare the probes' opinion with each label.

    Args:
        paths: Each image's path.
        labels: Class numbers.
        probabilities: From `cross_validate`, of shape (images, classes).
        classes: Class names by number.

    Returns:
        One row an image, the most suspect first: `path`, `label`, `opinion` (the class that the probes take it
        for), `opinion_probability` and `label_quality`, the probability of its label (self-confidence of
        confident learning; Northcutt et al. 2021).
    """
    from cleanlab.rank import get_label_quality_scores

    names = np.array(classes)
    table = pd.DataFrame(
        {
            "path": paths,
            "label": names[labels],
            "opinion": names[probabilities.argmax(axis=1)],
            "opinion_probability": probabilities.max(axis=1).round(4),
            "label_quality": get_label_quality_scores(labels, probabilities, method="self_confidence").round(4),
        }
    )
    return table.sort_values(["label_quality", "path"], ignore_index=True)
