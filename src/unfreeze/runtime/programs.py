"""Names programs in messages so that a shell without the environment on its PATH finds them."""

import os
import re
import sys
from pathlib import Path

_COMMAND = re.compile(r"`(?=(?:dvc|unfreeze|mlflow|pip|python)[ `])")


def spell_out_commands(text: str) -> str:
    """Return a message whose commands can be copied into the user's shell.

    In backquotes messages say `dvc repro`. Where no environment is active, and that of this process lies in the
    working folder, as in `.venv`, the program's path is written out.

    Args:
        text: A message.
    """
    if "VIRTUAL_ENV" in os.environ or "CONDA_PREFIX" in os.environ:
        return text
    programs = Path(sys.executable).parent
    if not programs.is_relative_to(Path.cwd()):
        return text
    return _COMMAND.sub(f"`{programs.relative_to(Path.cwd())}/", text)
