"""A model's scores on the test fold, as in metrics/evaluate/."""

from unfreeze.records.costs import ModelSize
from unfreeze.records.interval import Interval
from unfreeze.records.record import Record
from unfreeze.records.test_evaluations import ScoredModel


class Averages(Record):
    """Precision, recall and F1: of a class, or averages over classes.

    Args:
        precision: 0 to 1; None, as the next two, for a class without test images.
        recall: The same.
        f1: The same.
        support: Number of test images.
    """

    precision: float | None
    recall: float | None
    f1: float | None
    support: int


class Calibration(Record):
    """Errors of the predicted probabilities before and after dividing logits by a temperature."""

    temperature: float
    calibration_error: float
    calibrated_error: float
    log_loss: float
    calibrated_log_loss: float


class CorruptionScore(Record):
    """Accuracy on corrupted test images.

    Args:
        corruption: Name of the corruption.
        strength: 1 or more.
        accuracy: 0 to 1.
        drop: Accuracy on the same images without corruption minus `accuracy`.
    """

    corruption: str
    strength: int
    accuracy: float
    drop: Interval


class Scores(Record):
    """Scores of predicted probabilities.

    Args:
        images: Number of images.
        accuracy: 0 to 1.
        balanced_accuracy: Mean recall of the classes that are there.
        log_loss: Mean negative logarithm of the true class's probability.
        auc: Area under the ROC curve, one class against the rest, mean over classes; None with one class.
        macro: Mean over classes.
        weighted: Mean over classes, weighted by their images.
        classes: By name.
        confusion: Number of images, true classes as rows and predicted ones as columns.
    """

    images: int
    accuracy: float
    balanced_accuracy: float
    log_loss: float
    auc: float | None
    macro: Averages
    weighted: Averages
    classes: dict[str, Averages]
    confusion: tuple[tuple[int, ...], ...]


class Evaluation(Scores):
    """The content of metrics/evaluate/<backbone>.json.

    Args:
        majority: Share of the largest class, the accuracy of the majority-class baseline.
        calibration: Errors of the probabilities.
        corruptions: One entry a corruption and strength.
        seeds: Accuracy of the models that were trained again, by seed.
        size: Size of the model.
        test_evaluations: The models that were scored, those of further seeds too, and the fold.
    """

    majority: float
    calibration: Calibration
    corruptions: tuple[CorruptionScore, ...]
    seeds: dict[str, float]
    size: ModelSize
    test_evaluations: tuple[ScoredModel, ...]
