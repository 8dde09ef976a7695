"""Scores of a classifier on a fold, by scikit-learn.

A class that the fold lacks has no scores: its own are None, and averages over classes leave it out.
"""

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
from sklearn import metrics

from unfreeze.errors import UnfreezeError
from unfreeze.evaluation import curves
from unfreeze.records.test_scores import Averages, Scores
from unfreeze.records.verdict import Confusion

# More points do not show in a plot a few hundred pixels wide.
MOST_POINTS = 200


def require_probabilities(probabilities: np.ndarray, what: str) -> None:
    """Refuse what a broken network gives in place of probabilities.

    Args:
        probabilities: Shape (images, classes).
        what: Whose they are, for the message.

    Raises:
        UnfreezeError: Where one is not finite or is negative.
    """
    good = (np.isfinite(probabilities) & (probabilities >= 0)).all(axis=1)
    if not good.all():
        raise UnfreezeError(
            f"{what}: {(~good).sum()} of {len(good)} images got probabilities that are not numbers, infinite or "
            "negative, expected finite ones from 0 to 1: training diverged or the arithmetic overflowed. Lower "
            "train.finetune.default.learning_rate, and set extract.precision=float32 and train.precision=float32"
        )


def score(labels: np.ndarray, probabilities: np.ndarray, classes: list[str]) -> Scores:
    """Score predicted probabilities.

    Args:
        labels: Class numbers, shape (images,).
        probabilities: Shape (images, classes); rows add up to 1.
        classes: Class names by number.

    Returns:
        The scores. A class that is never predicted has precision 0.
    """
    numbers = list(range(len(classes)))
    predicted = probabilities.argmax(axis=1)
    rows = np.stack(
        metrics.precision_recall_fscore_support(labels, predicted, labels=numbers, zero_division=0), axis=1
    )
    support = rows[:, 3]
    there = rows[support > 0]
    macro = there[:, :3].mean(axis=0)
    weighted = np.average(there[:, :3], axis=0, weights=there[:, 3])
    return Scores(
        images=len(labels),
        accuracy=float(metrics.accuracy_score(labels, predicted)),
        # The mean recall of the classes that are there, by definition.
        balanced_accuracy=float(macro[1]),
        log_loss=float(metrics.log_loss(labels, probabilities, labels=numbers)),
        auc=_compute_auc(labels, probabilities),
        macro=_make_averages(macro, len(labels)),
        weighted=_make_averages(weighted, len(labels)),
        classes={
            name: _make_averages(row[:3] if row[3] else None, int(row[3]))
            for name, row in zip(classes, rows, strict=True)
        },
        confusion=metrics.confusion_matrix(labels, predicted, labels=numbers).tolist(),
    )


def compute_roc(labels: np.ndarray, probabilities: np.ndarray, classes: list[str]) -> pd.DataFrame:
    """Return the ROC curve of each class against the rest.

    Args:
        labels: Class numbers, shape (images,).
        probabilities: Shape (images, classes).
        classes: Class names by number.

    Returns:
        class, fpr and tpr, at most 200 points a class; none of a class that the fold lacks or that has no rest.
        Of two classes the second alone: the first one's curve is the same, mirrored.
    """
    return _trace_curves(
        list_contrasted(labels, probabilities), labels, probabilities, classes, ("fpr", "tpr"), _trace_roc
    )


def compute_precision_recall(labels: np.ndarray, probabilities: np.ndarray, classes: list[str]) -> pd.DataFrame:
    """Return the precision-recall curve of each class against the rest.

    Args:
        labels: Class numbers, shape (images,).
        probabilities: Shape (images, classes).
        classes: Class names by number.

    Returns:
        class, recall and precision, at most 200 points a class, from recall 0 to 1; none of a class that the fold
        lacks.
    """
    there = np.unique(labels).tolist()
    return _trace_curves(there, labels, probabilities, classes, ("recall", "precision"), _trace_precision_recall)


def list_confused(confusion: Sequence[Sequence[int]], classes: Sequence[str], *, most: int = 10) -> list[Confusion]:
    """Return the pairs of classes that are confused, the one with most images first.

    Args:
        confusion: Number of images, true classes as rows.
        classes: Class names by number.
        most: Most pairs to return.
    """
    counts = np.array(confusion)
    pairs = [
        Confusion(
            label=classes[row],
            predicted=classes[column],
            images=int(counts[row, column]),
            share=float(counts[row, column] / counts[row].sum()),
        )
        for row, column in np.argwhere(counts)
        if row != column
    ]
    return sorted(pairs, key=lambda pair: (-pair.images, -pair.share))[:most]


def list_contrasted(labels: np.ndarray, probabilities: np.ndarray) -> list[int]:
    """Return the classes that have a ROC curve of their own against the rest: of two, the second alone."""
    there = np.unique(labels).tolist()
    if len(there) < 2:
        return []
    return [1] if probabilities.shape[1] == 2 else there


def _compute_auc(labels: np.ndarray, probabilities: np.ndarray) -> float | None:
    areas = [
        metrics.roc_auc_score(labels == number, probabilities[:, number])
        for number in list_contrasted(labels, probabilities)
    ]
    return float(np.mean(areas)) if areas else None


def _make_averages(values: np.ndarray | None, support: int) -> Averages:
    precision, recall, f1 = (None, None, None) if values is None else map(float, values)
    return Averages(precision=precision, recall=recall, f1=f1, support=support)


def _trace_roc(truth: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    fpr, tpr, _ = metrics.roc_curve(truth, scores)
    return fpr, tpr


def _trace_precision_recall(truth: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    precision, recall, _ = metrics.precision_recall_curve(truth, scores)
    return recall[::-1], precision[::-1]


def _trace_curves(
    numbers: list[int],
    labels: np.ndarray,
    probabilities: np.ndarray,
    classes: list[str],
    axes: tuple[str, str],
    curve: Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]],
) -> pd.DataFrame:
    parts = [pd.DataFrame(columns=["class", *axes])]
    for number in numbers:
        points = np.stack(curve(labels == number, probabilities[:, number]), axis=1)
        whole = pd.DataFrame(points, columns=list(axes)).assign(**{"class": classes[number]})
        parts.append(curves.thin(whole, *axes, MOST_POINTS))
    return pd.concat(parts[1:] or parts, ignore_index=True)[["class", *axes]]
