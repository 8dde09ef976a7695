"""How features are extracted, and heads and unfrozen layers trained and searched."""

from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from unfreeze.settings.base import ByBackbone, LogRange, Optimizer, Precision, Section, ShareRange
from unfreeze.settings.oracles import find_oracle


class Extract(Section):
    """How frozen layers are run.

    Args:
        engine: What runs them; `auto` takes OpenVINO and, where it cannot convert, TensorFlow.
        precision: Arithmetic of the frozen layers. bfloat16 needs a processor that has it to be faster. int8 rounds
            the layers from pixels to the cut to 8 bits, which OpenVINO runs on the CPU.
        batch_size: Images a call.
        dtype: How activations are stored.
        max_gb: Most room that a backbone's activations at one cut may take on disk, GB.
    """

    engine: Literal["auto", "openvino", "tensorflow"]
    precision: Literal["float32", "bfloat16", "int8"]
    batch_size: int = Field(ge=1)
    dtype: Literal["float16", "float32"]
    max_gb: float = Field(gt=0)

    @model_validator(mode="after")
    def _int8_has_an_engine(self) -> "Extract":
        if self.precision == "int8" and self.engine == "tensorflow":
            raise ValueError(
                "precision is int8 and engine tensorflow, which has no 8-bit convolutions: set extract.engine=auto, "
                "or extract.precision=float32"
            )
        return self

    @property
    def whole_precision(self) -> Precision:
        """Arithmetic of whole models and of layers behind the cut.

        It is float32 where the setting is int8: only what layers are trained on is rounded, so that scores, packages
        and answers are those of the model that is saved, whose weights are float32.
        """
        return "float32" if self.precision == "int8" else self.precision


class BlockCount(Section):
    """The top n blocks of a backbone are trained."""

    blocks: int = Field(ge=1)


class ParameterShare(Section):
    """The top layers that hold at most this share of the backbone's parameters are trained."""

    share: float = Field(gt=0, le=1)


UnfreezePoint = BlockCount | ParameterShare | int | str


class Unfreeze(Section):
    """Where training starts in the backbone.

    A point is a layer's name, its index, `blocks: n` counted from the top, `share: s` of the parameters,
    `none`, `all`, or `auto`, the default of the backbone's row in the table.

    Args:
        point: The point to fine-tune from when the search is off.
        candidates: The points the search chooses from; `auto` stands for the start of every block and `none`.
    """

    point: ByBackbone[UnfreezePoint]
    candidates: ByBackbone[Annotated[tuple[UnfreezePoint, ...], Field(min_length=1)]]


class DenseSpec(Section):
    """A fully connected layer with ReLU."""

    dense: int = Field(ge=1)


class DropoutSpec(Section):
    """Dropout at a rate."""

    dropout: float = Field(ge=0, lt=1)


HeadLayer = (
    Literal["global_average_pooling", "class_token", "flatten", "batch_normalization"] | DenseSpec | DropoutSpec
)


class Head(Section):
    """The layers after the backbone; a last dense layer with one output a class always follows.

    Args:
        layers: The layers by backbone, or `auto`, the head of the backbone's row in the table.
        output: `softmax`, or for two classes `sigmoid`: one unit instead of two.
    """

    layers: ByBackbone[Literal["auto"] | tuple[HeadLayer, ...]]
    output: Literal["softmax", "sigmoid"]


class Phase(Section):
    """One phase of training.

    Args:
        optimizer: Keras' name of an optimizer; with weight decay Adam is AdamW.
        learning_rate: Its rate, at the start.
        schedule: `constant`; `cosine`: down to 0 along half a cosine over all epochs; or `restarts`: such cosines of
            4, 8, 16, ... epochs, until one is not at its best at its end. A trial of the search takes `cosine`.
        warmup: Share of all steps in which the rate rises evenly from 0; the schedule begins after them. 0 with
            `restarts`, whose length is not known before.
        epochs: Most epochs; 0 leaves the phase out.
        batch_size: Images a step.
        patience: Epochs without a better validation loss before training stops, with `restarts` at the end of a cycle
            only, and the best weights come back; null trains all epochs and keeps the last weights.
        weight_decay: Decoupled weight decay of kernels; 0 for none.
        layer_decay: The rate of the unfrozen blocks, from the top one down, is that of the head times this,
            times this squared, and so on; 1 for one rate (Howard and Ruder 2018).
        label_smoothing: Share of a label that is spread over all classes, in training only.
        mixup: Images are mixed in pairs, in shares from a beta distribution with both parameters at this, and so are
            their labels (Zhang et al. 2018); 0 for none. Below 1 most pairs are nearly one of the two images.
        average: Epochs over which an exponential moving average of the weights forgets; it is what is validated and
            kept in place of the last weights. 0 for none.
        dropout: Rate of the head's dropout layers; null leaves it as the head has it.
        views: How many of the stored views of an image are trained on; null for all.
    """

    optimizer: Optimizer
    learning_rate: float = Field(gt=0)
    schedule: Literal["constant", "cosine", "restarts"]
    warmup: float = Field(default=0, ge=0, lt=1)
    epochs: int = Field(ge=0)
    batch_size: int = Field(ge=1)
    patience: int | None = Field(ge=1)
    weight_decay: float = Field(ge=0)
    layer_decay: float = Field(gt=0, le=1)
    label_smoothing: float = Field(ge=0, lt=1)
    mixup: float = Field(default=0, ge=0)
    average: float = Field(default=0, ge=0)
    dropout: float | None = Field(ge=0, lt=1)
    views: int | None = Field(ge=1)

    @model_validator(mode="after")
    def _restarts_begin_at_once(self) -> "Phase":
        if self.warmup and self.schedule == "restarts":
            raise ValueError(
                f"warmup is {self.warmup:g} and schedule restarts, whose length is not known before: set schedule to "
                "cosine, or warmup to 0"
            )
        return self


class Train(Section):
    """Both phases: the head on frozen features, then the head and the unfrozen layers together.

    Args:
        class_weights: `balanced` lets classes count the same however many images they have.
        precision: Arithmetic of convolutions and dense layers; weights, losses and sums stay float32.
        head: The first phase.
        finetune: The second.
    """

    class_weights: Literal["balanced", "none"]
    precision: Precision
    head: ByBackbone[Phase]
    finetune: ByBackbone[Phase]


class Search(Section):
    """The search over unfreeze points and settings of fine-tuning.

    The points are those of `unfreeze.candidates`. What is null stays as `train.finetune` has it.

    Args:
        enabled: Without it the configured point and settings are used.
        oracle: Name of what chooses the trials: `random`, `grid`, `bayesian`, `hyperband`, or one in plugins/oracles.
        max_trials: Trials at most, the configured point and settings among them: they are tried first.
        deeper: Most further trials from points with twice as many blocks each time, up to `all`, at half the rate.
            They run while the deepest point is the best, or where the best trial is wrong on more than one validation
            image in ten.
        at_once: Trials that run at the same time, all chosen before the oracle learns the score of any.
        max_minutes: Minutes of trials after the configured one, after which no further trial begins; null for no
            limit.
        max_gb: Most room that activations and weights of one search may take on disk, GB.
        epochs: Most epochs a trial.
        patience: Epochs without a better validation loss before a trial stops; null for none.
        learning_rate: Bounds by backbone.
        optimizer: Names to choose from.
        dropout: Bounds of the head's dropout rate.
        weight_decay: Bounds.
        layer_decay: Bounds.
        label_smoothing: Bounds.
        views: Numbers of views to choose from, no more than are stored.
    """

    enabled: ByBackbone[bool]
    oracle: str
    max_trials: int = Field(ge=2)
    deeper: int = Field(default=0, ge=0)
    at_once: int = Field(ge=1)
    max_minutes: float | None = Field(gt=0)
    max_gb: float = Field(gt=0)
    epochs: int = Field(ge=1)
    patience: int | None = Field(ge=1)
    learning_rate: ByBackbone[LogRange]
    optimizer: tuple[Optimizer, ...] | None = Field(min_length=1)
    dropout: ShareRange | None
    weight_decay: LogRange | None
    layer_decay: ShareRange | None
    label_smoothing: ShareRange | None
    views: tuple[Annotated[int, Field(ge=1)], ...] | None = Field(min_length=1)

    @field_validator("oracle")
    @classmethod
    def _is_registered(cls, oracle: str) -> str:
        return find_oracle(oracle).name

    @model_validator(mode="after")
    def _trials_end_early_in_one_way(self) -> "Search":
        if find_oracle(self.oracle).resumes_trials and self.patience is not None:
            raise ValueError(
                f"patience is {self.patience} and the oracle {self.oracle}, which ends poor trials itself: "
                "set search.patience=null"
            )
        return self
