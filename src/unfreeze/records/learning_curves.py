"""A backbone's learning curve, as in metrics/learning_curve/."""

from unfreeze.records.interval import Interval
from unfreeze.records.record import Record


class CurvePoint(Record):
    """Validation accuracy of probes on so many training images, with its interval."""

    images: int
    accuracy: float
    low: float
    high: float


class RecallPoint(Record):
    """Recall of a class with so many training images of all classes; None if the validation fold lacks the class."""

    images: int
    recall: float | None


class LearningCurve(Record):
    """How a probe's accuracy grows with the training images.

    Args:
        points: By the number of training images, fewest first.
        classes: Recall of each class at the same numbers.
        gain_from_doubling: Expected gain in accuracy from twice the training images, a share.
        neediest_class: The class whose recall still rises most; None where none rises by more than chance.
        text: The answer in words.
    """

    points: tuple[CurvePoint, ...]
    classes: dict[str, tuple[RecallPoint, ...]]
    gain_from_doubling: Interval
    neediest_class: str | None
    text: str
