"""What the comparison of a challenger with the champion found, as MLflow keeps it in judgement.json."""

from typing import Any, Literal

from unfreeze.records.interval import OptionalInterval
from unfreeze.records.record import Record

Outcome = Literal["promote", "keep", "cannot tell", "not comparable"]


class Side(Record):
    """One of the two models; None where nothing was measured.

    Args:
        version: Its number in the model registry.
        backbone: Its backbone.
        model_sha256: Digest of its file.
        size_mb: Size of its file, MB.
        latency_ms: Median time of an answer on one image, milliseconds.
        accuracy: On the test images.
        format: The exported format that was judged; None for the packed model itself.
    """

    version: int
    backbone: str
    model_sha256: str
    size_mb: float | None
    latency_ms: float | None
    accuracy: float | None
    format: str | None = None


class ClassRecalls(Record):
    """Recall of a class by both models, None where there is no image of it, and the number of its images."""

    champion: float | None
    challenger: float | None
    support: int


class Flip(Record):
    """An image that the two models give different classes.

    Args:
        id: The image.
        label: Its true class.
        champion: The class that the champion predicts.
        challenger: The class that the challenger predicts.
        better: True where only the challenger is right, False where only the champion is, None where neither is.
    """

    id: str
    label: str
    champion: str
    challenger: str
    better: bool | None


class Comparison(Record):
    """Whether a challenger takes the champion's place, and why.

    Args:
        verdict: The answer.
        reasons: One sentence each.
        text: Answer and reasons in one sentence.
        difference: Challenger's accuracy minus champion's; None where nothing was compared.
        images: Number of test images.
        more_images: How many more would likely decide; None where that is not the question.
        classes: Recall by class.
    """

    verdict: Outcome
    reasons: tuple[str, ...]
    text: str
    difference: OptionalInterval = None
    images: int = 0
    more_images: int | None = None
    classes: dict[str, ClassRecalls] = {}


class Judgement(Comparison):
    """A comparison with the two models.

    Args:
        challenger: The model that asks.
        champion: The model in use; None if there is none.
        flips: Images on which the two disagree.
        test_digest: Digest of the test fold.
        run_id: The MLflow run that holds this record; None where it was not recorded.
    """

    challenger: Side
    champion: Side | None
    flips: tuple[Flip, ...] = ()
    test_digest: str
    run_id: str | None = None


class Promotion(Judgement):
    """A judgement, and what was done about it.

    Args:
        promoted: Whether the champion has changed.
        transition: The entry in the log of promotions; None if it has not.
    """

    promoted: bool
    transition: dict[str, Any] | None
