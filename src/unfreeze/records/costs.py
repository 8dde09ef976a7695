"""What a model costs to train and to use."""

from unfreeze.records.record import Record


class ModelSize(Record):
    """The part of a model's cost that does not depend on the machine.

    Args:
        parameters: Number of parameters.
        multiply_accumulates: Multiply-accumulate operations an image.
        size_mb: Size of the model's file, MB.
    """

    parameters: int
    multiply_accumulates: int
    size_mb: float


class TrainedSize(ModelSize):
    """The same of a trained model.

    Args:
        trainable_parameters: Number of parameters that fine-tuning trained.
    """

    trainable_parameters: int


class Latency(Record):
    """Measured times, as in metrics/cost/: they differ from run to run.

    Args:
        engine: What computes the predictions.
        latency_ms: Median time of a call by the number of images in it (the batch size), milliseconds a batch.
    """

    engine: str
    latency_ms: dict[str, float]

    def compute_milliseconds_per_image(self, batch: str) -> float | None:
        """Return the latency of one image in a batch of that size, milliseconds; None where it was not measured."""
        taken = self.latency_ms.get(batch)
        return None if taken is None else taken / int(batch)


class TrainingCost(TrainedSize, Latency):
    """What training and using a model costs, as the report shows it.

    Args:
        training_seconds: How long both phases took.
    """

    training_seconds: float
