"""What a backbone's training came to, as in metrics/finetune/."""

from typing import Literal

from unfreeze.records.record import Record

ChosenBy = Literal["search", "params"]


class Training(Record):
    """The training of a backbone's saved model, without times, which differ from run to run.

    Args:
        chosen_by: What the unfreeze point and the settings come from: the search, or params.yaml.
        unfreeze_from: Name of the unfreeze point.
        learning_rate: Of fine-tuning.
        epochs: Number of epochs of both phases.
        fine_tuning_improved: Whether fine-tuning lowered the validation loss.
        trainable_parameters: Number of parameters that fine-tuning trained.
        head_parameters: Number of parameters of the head.
        val_loss: Validation loss before the temperature.
        temperature: What the saved model divides logits by, so that probabilities fit the validation fold best.
        model_sha256: Digest of the saved model.
    """

    chosen_by: ChosenBy
    unfreeze_from: str
    learning_rate: float
    epochs: int
    fine_tuning_improved: bool
    trainable_parameters: int
    head_parameters: int
    val_loss: float
    temperature: float
    model_sha256: str
