"""What stages write as JSON for later stages, people and programs: immutable and typed."""

from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from unfreeze import files
from unfreeze.errors import UnfreezeError


class Record(BaseModel):
    """The content of a JSON file, or a part of one.

    Unknown keys are ignored, so that files of a later version can be read. NaN and infinity are refused.

    >>> class Score(Record):
    ...     accuracy: float
    >>> Score(accuracy=0.96).write(Path("score.json"))
    >>> Score.read(Path("score.json")).accuracy
    0.96
    """

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a JSON file.

        Args:
            path: The file.

        Raises:
            UnfreezeError: It holds something else.
        """
        try:
            return cls.model_validate_json(files.read_text(path))
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(map(str, first["loc"]))
            raise UnfreezeError(
                f"{path} is not what this version writes ({f'{place}: ' if place else ''}{first['msg']}): "
                "run `dvc repro` to write it again"
            ) from error

    def write(self, path: Path) -> None:
        """Write it as JSON with sorted keys: equal records give equal bytes."""
        files.write_json(path, self.to_json())

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return self.model_dump(mode="json")
