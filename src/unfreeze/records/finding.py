"""What is wrong with a backbone's result."""

from typing import Literal

from unfreeze.records.record import Record


class Finding(Record):
    """A failed check of a backbone's result.

    Args:
        backbone: The backbone; None for the whole study.
        check: Name of the check in params.yaml.
        level: How serious it is; an error ends the run after the report.
        what: What was observed.
        cause: The likely cause.
        remedy: What to do.
    """

    backbone: str | None
    check: str
    level: Literal["warning", "error"]
    what: str
    cause: str
    remedy: str
