"""What a model costs to train and to use."""

from unfreeze.records.record import Record


class Cost(Record):
    """What using a model costs, as in metrics/cost/.

    Args:
        parameters: Number of parameters.
        multiply_accumulates: Multiply-accumulate operations an image.
        size_mb: Size of the model's file, MB.
        engine: What computes the predictions.
        latency_ms: Median time of a call by the number of images in it (the batch size), milliseconds a batch.
    """

    parameters: int
    multiply_accumulates: int
    size_mb: float
    engine: str
    latency_ms: dict[str, float]

    def milliseconds_per_image(self, batch: str) -> float | None:
        """Return the latency of one image in a batch of that size, milliseconds; None where it was not measured."""
        taken = self.latency_ms.get(batch)
        return None if taken is None else taken / int(batch)


class TrainingCost(Cost):
    """What training and using a model costs.

    Args:
        trainable_parameters: Number of parameters that fine-tuning trained.
        training_seconds: How long both phases took.
    """

    trainable_parameters: int
    training_seconds: float
