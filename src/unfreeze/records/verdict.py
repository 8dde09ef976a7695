"""metrics/verdict.json: how the backbones of a study compare."""

from pydantic import Field

from unfreeze.errors import UnfreezeError
from unfreeze.paths import Paths
from unfreeze.records.costs import TrainedSize
from unfreeze.records.finding import Finding
from unfreeze.records.interval import Interval, OptionalInterval
from unfreeze.records.learning_curves import LearningCurve
from unfreeze.records.record import Record
from unfreeze.records.test_scores import Abstention, Averages, Calibration, CorruptionScore, FeatureSample


class ClassScores(Record):
    """A class's scores with their intervals; None where the fold has no image of the class."""

    precision: OptionalInterval
    recall: OptionalInterval
    f1: OptionalInterval
    support: int


class Confusion(Record):
    """A pair of classes that the model confuses.

    Args:
        label: The true class.
        predicted: The predicted one.
        images: Number of images.
        share: Of the true class's images.
    """

    label: str
    predicted: str
    images: int
    share: float


class Spread(Record):
    """Accuracies of one backbone trained with several seeds, the configured one first."""

    seeds: tuple[int, ...]
    accuracies: tuple[float, ...]
    mean: float
    deviation: float
    lowest: float
    highest: float


class Slice(Record):
    """Accuracy on a part of the test fold.

    Args:
        column: The property that the part has in common.
        slice: Its value.
        images: Number of images.
        accuracy: On these images.
        rest: Accuracy on all others.
        stands_out: Whether the two differ significantly, adjusted for the number of slices.
    """

    column: str
    slice: str
    images: int
    accuracy: Interval
    rest: float
    stands_out: bool


class Leak(Record):
    """Test images that have copies, or images of their group, in another fold.

    Args:
        images: Number of such images.
        accuracy_without: Accuracy on all others; None where there are none.
    """

    images: int
    accuracy_without: OptionalInterval


class Row(Record):
    """What is known of one backbone.

    Args:
        backbone: Its name.
        weights: Where its weights come from, in a few words.
        pretrained: Whether they were trained before.
        unfreeze_from: Name of the unfreeze point.
        learning_rate: Of fine-tuning.
        chosen_by: `search` or `params`.
        scores: Scores on the test fold by metric; None where the fold does not define one.
        classes: Scores by class.
        averages: `macro` and `weighted` averages over classes.
        confusion: Number of images, true classes as rows.
        confused: The pairs of classes confused most.
        calibration: Errors of the probabilities.
        abstention: Which answers the packed model rejects.
        cost: Size of the model; times are in the report alone, since they differ from run to run.
        seeds: None where the study has one seed.
        corruptions: One entry a corruption and strength.
        learning_curve: None where it was not measured.
        slices: Parts of the test fold.
        gain: Accuracy minus the baseline's; None for the baseline, and without one.
        leak: None where no test image has a copy in another fold.
        feature_sample: What is computed from stored features rests on these images; None where on all, or on none.
    """

    backbone: str
    weights: str
    pretrained: bool
    unfreeze_from: str
    learning_rate: float
    chosen_by: str
    scores: dict[str, OptionalInterval]
    classes: dict[str, ClassScores]
    averages: dict[str, Averages]
    confusion: tuple[tuple[int, ...], ...]
    confused: tuple[Confusion, ...]
    calibration: Calibration
    abstention: Abstention
    cost: TrainedSize
    seeds: Spread | None
    corruptions: tuple[CorruptionScore, ...]
    learning_curve: LearningCurve | None
    slices: tuple[Slice, ...]
    gain: OptionalInterval = None
    leak: Leak | None = None
    feature_sample: FeatureSample | None = Field(default=None, exclude_if=lambda sample: sample is None)

    @property
    def accuracy(self) -> Interval:
        """Accuracy, which every fold defines."""
        accuracy = self.scores["accuracy"]
        assert accuracy is not None
        return accuracy


class Pair(Record):
    """Two backbones on the same test images.

    Args:
        first: The one.
        second: The other.
        difference: Accuracy of the first minus that of the second.
        only_first: Number of images that only the first has right.
        only_second: The same of the second.
        p_value: Of the exact McNemar test.
        adjusted_p_value: By Holm, for the number of pairs.
        significant: Whether that is below 0.05.
    """

    first: str
    second: str
    difference: Interval
    only_first: int
    only_second: int
    p_value: float
    adjusted_p_value: float
    significant: bool


class StudySettings(Record):
    """What the study was about."""

    name: str
    data: str
    image_size: int
    baseline: str
    pixels: str


class Ranking(Record):
    """Which backbone to take.

    Args:
        best: The one with the highest accuracy.
        as_good: Those that do not differ from it significantly.
        cheaper: Those of them that need clearly fewer multiply-accumulates.
        text: The same in words.
    """

    best: str
    as_good: tuple[str, ...]
    cheaper: tuple[str, ...]
    text: str


class Verdict(Record):
    """The content of metrics/verdict.json.

    Args:
        study: What the study was about.
        test_images: Size of the test fold.
        classes: Class names by number.
        majority: Share of the largest class.
        rows: One a backbone, the best accuracy first.
        pairs: Every two backbones.
        smallest_difference: Of accuracy, that the test fold shows with 80 % power; 1 where it shows none.
        verdict: Which backbone to take.
        findings: What is wrong with results.
    """

    study: StudySettings
    test_images: int
    classes: tuple[str, ...]
    majority: float
    rows: tuple[Row, ...]
    pairs: tuple[Pair, ...]
    smallest_difference: float
    verdict: Ranking
    findings: tuple[Finding, ...]

    def find_row(self, backbone: str) -> Row:
        """Return a backbone's row.

        Raises:
            UnfreezeError: It was not in the study.
        """
        for row in self.rows:
            if row.backbone == backbone:
                return row
        names = ", ".join(row.backbone for row in self.rows)
        raise UnfreezeError(f"backbone {backbone!r} is not in the last study: take one of {names}")


def read(paths: Paths) -> Verdict:
    """Return the last study's verdict.

    Raises:
        UnfreezeError: No study has run.
    """
    if not paths.verdict.exists():
        raise UnfreezeError(f"{paths.verdict.relative_to(paths.root)} is missing: run `dvc repro` first")
    return Verdict.read(paths.verdict)
