"""Selective prediction: the share of wrong answers among those that a threshold on the probability accepts.

El-Yaniv and Wiener 2010 ("On the Foundations of Noise-free Selective Classification") define risk and coverage.
Geifman and El-Yaniv 2017 ("Selective Classification for Deep Neural Networks") take the largest softmax output as
confidence. Geifman, Uziel and El-Yaniv 2019 ("Bias-Reduced Uncertainty Estimation for Deep Neural Classifiers")
measure the area.
"""

import numpy as np
import pandas as pd


def compute_risk_coverage(confidence: np.ndarray, correct: np.ndarray) -> pd.DataFrame:
    """Return risk and coverage at each threshold, as the threshold falls.

    Args:
        confidence: Probability of the predicted class, 0 to 1; shape (images,), at least one image.
        correct: Whether the prediction is right, shape (images,).

    Returns:
        One row a different confidence, the highest first: `coverage`, the share of images whose confidence is at
        least `threshold`; `risk`, the share of wrong answers among these; all from 0 to 1.

    Example:
        >>> compute_risk_coverage(np.array([0.9, 0.6]), np.array([True, False])).to_dict("records")
        [{'coverage': 0.5, 'risk': 0.0, 'threshold': 0.9}, {'coverage': 1.0, 'risk': 0.5, 'threshold': 0.6}]
    """
    thresholds, group = np.unique(-confidence, return_inverse=True)
    accepted = np.cumsum(np.bincount(group))
    wrong = np.cumsum(np.bincount(group, weights=~correct))
    return pd.DataFrame({"coverage": accepted / len(confidence), "risk": wrong / accepted, "threshold": -thresholds})


def compute_risk_area(curve: pd.DataFrame) -> float:
    """Return the area under the curve of risk against coverage, 0 to 1: the mean risk over all coverages.

    If the confidence says nothing, it is near the share of wrong answers among all.

    Args:
        curve: From `compute_risk_coverage`. Images of equal confidence are accepted together, so each of them counts
            with the risk after all of them.
    """
    return float((curve["risk"] * curve["coverage"].diff().fillna(curve["coverage"])).sum())
