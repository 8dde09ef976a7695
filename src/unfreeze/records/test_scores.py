"""A model's scores on the test fold, as in metrics/evaluate/."""

from pydantic import Field

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
    """Errors of the predicted probabilities.

    Args:
        temperature: By which the saved model divides its logits.
        calibration_error: Expected calibration error of the saved model's probabilities, 0 to 1.
        log_loss: Of the same.
        uncalibrated_error: Expected calibration error without the temperature.
        uncalibrated_log_loss: Log-loss without it.
    """

    temperature: float
    calibration_error: float
    log_loss: float
    uncalibrated_error: float
    uncalibrated_log_loss: float


class UnlikeImages(Record):
    """Images that are unlike the training images, and how well the packed model tells them from the test fold.

    Args:
        kind: What they show.
        images: How many.
        auroc: Chance that one of them is farther from the training images than a test image, 0 to 1.
        rejected: Share that is called unlike the training images.
    """

    kind: str
    images: int
    auroc: float
    rejected: float


class Abstention(Record):
    """What the thresholds of the packed model reject.

    Args:
        risk_area: Mean share of wrong answers among the accepted ones as the threshold on the probability of the
            predicted class falls from 1 to 0, see `evaluation/selective.py`.
        lowest: The packed threshold on that probability; above 1 nothing is accepted.
        error_rate: Share of wrong answers among the accepted ones that was asked for.
        accepted: Share of test images whose answer is accepted.
        error: Share of wrong answers among these; None if there are none.
        unsure: Share of test images rejected as unsure.
        unlike: Share of test images rejected as unlike the training images.
        unlike_images: Other images.
    """

    risk_area: float
    lowest: float
    error_rate: float
    accepted: float
    error: float | None
    unsure: float
    unlike: float
    unlike_images: tuple[UnlikeImages, ...]


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


class FeatureSample(Record):
    """The images whose stored features are looked at, where they are too many to look at all.

    Args:
        images: How many are in the sample; groups are in it as a whole, drawn with the study's seed.
        of: How many training and validation images there are.
    """

    images: int
    of: int


class Evaluation(Scores):
    """The content of metrics/evaluate/<backbone>.json.

    Args:
        majority: Share of the largest class, the accuracy of the majority-class baseline.
        calibration: Errors of the probabilities.
        abstention: Which answers the packed model rejects.
        corruptions: One entry a corruption and strength.
        seeds: Accuracy of the models that were trained again, by seed.
        size: Size of the model.
        test_evaluations: The models that were scored, those of further seeds too, and the fold.
        feature_sample: What is computed from stored features rests on these images; None where on all, or on none.
    """

    majority: float
    calibration: Calibration
    abstention: Abstention
    corruptions: tuple[CorruptionScore, ...]
    seeds: dict[str, float]
    size: ModelSize
    test_evaluations: tuple[ScoredModel, ...]
    # Left out of the file where it is None, as in files of earlier versions.
    feature_sample: FeatureSample | None = Field(default=None, exclude_if=lambda sample: sample is None)
