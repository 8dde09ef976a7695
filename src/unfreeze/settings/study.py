"""What is compared, evaluated, tracked and promoted."""

from typing import Annotated

from pydantic import Field, model_validator

from unfreeze.settings.base import Section


class Evaluate(Section):
    """What is found out about a trained model besides its scores.

    Args:
        pictures: How many of the most confident mistakes, and as many of the most doubtful hits, are shown.
        corruption_images: How many test images are corrupted to see how the score drops; 0 leaves that out.
    """

    pictures: int = Field(ge=0)
    corruption_images: int = Field(ge=0)


class Serve(Section):
    """When a model in use does not commit itself.

    Args:
        error_rate: Share of wrong answers among the accepted ones, as measured on the validation fold.
        false_alarms: Share of images like the training images that are called unlike them.
        reference_images: How many training images new ones are compared with, at most.
    """

    error_rate: float = Field(gt=0, lt=1)
    false_alarms: float = Field(gt=0, lt=1)
    reference_images: int = Field(ge=1)


class Export(Section):
    """What an exported format may lose.

    Args:
        max_drop: Largest loss of accuracy on the validation fold, a share, against the model as it was trained.
    """

    max_drop: float = Field(ge=0, lt=1)


class Study(Section):
    """What is compared.

    Args:
        name: The study's name, shown in tables and in MLflow.
        backbones: Names from the table, or of any builder in keras.applications.
        baseline: The backbone that gains are counted from, if it is among them.
        seeds: Further seeds with which each backbone is trained again, on the same folds, to see the spread.
        minutes: What each backbone may take, in minutes of the reference machine, whatever is compared with it: one
            more backbone changes no other one's model. Its search and fine-tuning have half of them. They are
            reckoned from the arithmetic, never measured, so that the same settings give the same models. None for
            no limit.
    """

    name: str
    backbones: tuple[str, ...] = Field(min_length=1)
    baseline: str
    seeds: tuple[Annotated[int, Field(ge=0, lt=2**31)], ...]
    minutes: float | None = Field(default=None, gt=0)

    @model_validator(mode="after")
    def _no_backbone_twice(self) -> "Study":
        twice = {name for name in self.backbones if self.backbones.count(name) > 1}
        if twice:
            raise ValueError(f"backbones: {', '.join(sorted(twice))} is there twice")
        return self


class Best(Section):
    """What the preset `best` has besides other settings.

    Args:
        minutes: What the study may take; image size and epochs followed from it where the settings were composed.
    """

    minutes: float = Field(gt=0)


class Tracking(Section):
    """MLflow: the experiment's name. The server is MLFLOW_TRACKING_URI, or a local SQLite file."""

    experiment: str


class Promote(Section):
    """What a challenger must show before it becomes the champion.

    Args:
        model: The registered model's name in MLflow.
        margin: Largest loss of accuracy that counts as none, a share: a challenger that surely loses less, and costs
            less to run, is promoted too.
        class_floor: Least recall of each class on the test fold.
        max_size_mb: Largest model file, MB.
        max_latency_ms: Longest answer on one image, milliseconds, on the machine that judges.
        floors: By metric the worst score on the test fold that is promoted: the least where higher is better, the
            largest where lower is.
    """

    model: str = Field(pattern=r"^[\w. -]+$")
    margin: float = Field(gt=0, lt=1)
    class_floor: float = Field(ge=0, lt=1)
    max_size_mb: float = Field(gt=0)
    max_latency_ms: float = Field(gt=0)
    floors: dict[str, float] = {}
