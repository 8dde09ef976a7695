"""Scores of a classifier on a fold, by scikit-learn."""

from typing import Any

import numpy as np
import pandas as pd
from sklearn import metrics


def score(labels: np.ndarray, probabilities: np.ndarray, classes: list[str]) -> dict[str, Any]:
    """Score predicted probabilities.

    Args:
        labels: Class numbers, shape (images,).
        probabilities: Shape (images, classes); rows add up to 1.
        classes: Class names by number.

    Returns:
        accuracy, balanced_accuracy, log_loss, auc (one class against the rest, mean over classes), macro and
        weighted averages, each class's precision, recall, f1 and support, and the confusion matrix with true
        classes as rows.
    """
    numbers = list(range(len(classes)))
    predicted = probabilities.argmax(axis=1)
    report = metrics.classification_report(
        labels, predicted, labels=numbers, target_names=classes, output_dict=True, zero_division=0
    )
    scores = probabilities[:, 1] if len(classes) == 2 else probabilities
    return {
        "images": len(labels),
        "accuracy": float(metrics.accuracy_score(labels, predicted)),
        "balanced_accuracy": float(metrics.balanced_accuracy_score(labels, predicted)),
        "log_loss": float(metrics.log_loss(labels, probabilities, labels=numbers)),
        "auc": float(metrics.roc_auc_score(labels, scores, multi_class="ovr", labels=numbers)),
        "macro": _averages(report["macro avg"]),
        "weighted": _averages(report["weighted avg"]),
        "classes": {name: _averages(report[name]) for name in classes},
        "confusion": metrics.confusion_matrix(labels, predicted, labels=numbers).tolist(),
    }


def roc_points(labels: np.ndarray, probabilities: np.ndarray, classes: list[str]) -> pd.DataFrame:
    """Return the ROC curve of each class against the rest: class, fpr and tpr."""
    curves = []
    # With two classes the first one's curve is the second one's mirrored.
    for number in range(1 if len(classes) == 2 else 0, len(classes)):
        fpr, tpr, _ = metrics.roc_curve(labels == number, probabilities[:, number])
        curves.append(pd.DataFrame({"class": classes[number], "fpr": fpr, "tpr": tpr}))
    return pd.concat(curves, ignore_index=True)


def _averages(row: dict[str, float]) -> dict[str, float]:
    return {
        "precision": float(row["precision"]),
        "recall": float(row["recall"]),
        "f1": float(row["f1-score"]),
        "support": int(row["support"]),
    }
