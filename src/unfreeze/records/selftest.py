"""What is known of a backbone before it is trained, as in metrics/selftest/."""

from typing import Any

from pydantic import SerializerFunctionWrapHandler, model_serializer

from unfreeze.records.record import Record

# Missing in the file, not null, where no features are stored.
OF_FEATURES = ("effective_dimensions", "probe")


class ProbeSkill(Record):
    """The accuracy of probes on features, with its interval, and that of always naming the largest class."""

    accuracy: float
    majority: float
    low: float
    high: float


class SelfTest(Record):
    """What a backbone is fed, and what its features tell.

    Args:
        scaling_error: How far the pixels that reach it are from those it was trained on, as a share of their range.
        fed: The same in words, with the remedy behind the last colon.
        effective_dimensions: Of the features; None if none are stored.
        probe: The skill of probes on the features; None if none are stored, or classes have too few images.
    """

    scaling_error: float
    fed: str
    effective_dimensions: float | None = None
    probe: ProbeSkill | None = None

    @model_serializer(mode="wrap")
    def _without_features(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        written: dict[str, Any] = write(self)
        is_stored = self.effective_dimensions is not None
        return {name: value for name, value in written.items() if is_stored or name not in OF_FEATURES}
