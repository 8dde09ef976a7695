"""What settings are made of."""

from typing import Annotated, Any, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, RootModel, model_validator

# The folds of every study.
FOLDS = ("train", "val", "test")
# The fold that only conformal sets use; it is there if `split.calibration` is above 0.
CALIBRATION = "calibration"

T = TypeVar("T")
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Share = Annotated[float, Field(gt=0, lt=1)]
Precision = Literal["float32", "bfloat16"]
Optimizer = Literal["adam", "sgd", "rmsprop", "adagrad"]
PixelScaling = Literal["native", "unit"]
# What a network expects of pixels 0..255; `Row` in models/table.py explains each.
Pixels = Literal["inside", "tf", "caffe", "torch", "unit"]


class Section(BaseModel):
    """A group of parameters: immutable, and unknown keys are errors.

    >>> class Search(Section):
    ...     epochs: int = 3
    >>> Search().epochs
    3
    >>> Search.model_validate({"epochs": 5}).epochs
    5
    """

    model_config = ConfigDict(frozen=True, extra="forbid")


class ByBackbone(RootModel[dict[str, T]], Generic[T]):
    """One value for every backbone, and exceptions by name.

    Where the value is a group, an exception need only hold what differs.

    >>> rates = ByBackbone[float].model_validate({"default": 1e-4, "vgg16": 1e-5})
    >>> rates.get("vgg16"), rates.get("xception")
    (1e-05, 0.0001)
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

    def get(self, backbone: str) -> T:
        """Return the value for a backbone."""
        return self.root.get(backbone, self.root["default"])


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
