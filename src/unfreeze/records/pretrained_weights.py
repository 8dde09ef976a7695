"""Where a backbone's weights before training come from, as in metrics/pretrained/."""

from unfreeze.records.record import Record

# Source of weights that were initialised at random although the backbone is a pretrained one.
RANDOM = "RANDOM"


class PretrainedWeights(Record):
    """A backbone's weights before training.

    Args:
        source: Where they come from, in a few words; `RANDOM` if they were not trained.
        pretrained: Whether they were trained on other images before.
        parameters: Number of parameters of the backbone.
        sha256: Digest of the stored file.
    """

    source: str
    pretrained: bool
    parameters: int
    sha256: str
