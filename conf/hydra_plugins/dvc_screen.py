"""What DVC says in `dvc exp run`, which loads this (`plugins_path` in .dvc/config) before it composes the settings.

It first brings the outputs that dvc.lock names, and warns of each output that the lock does not know: some eighty
lines for a new backbone, of files that the stages are about to make. These are kept from the screen.

It writes the settings of a copy for queued experiments in ASCII: in a folder with other letters the worker fails, and
`--run-all` waits for ever. That is refused before anything is queued.
"""

import logging
import sys
from pathlib import Path

from dvc.exceptions import DvcException  # noqa: TID251 (DVC itself imports this module)

EXPECTED = "No file hash info found"
ROOT = Path(__file__).resolve().parents[2]


def is_news(record: logging.LogRecord) -> bool:
    """Tell whether a message is worth a line: all but those of outputs that no stage has made yet."""
    return not str(record.msg).startswith(EXPECTED)


for name in ("dvc_data.index.checkout", "dvc_data.hashfile.checkout"):
    logging.getLogger(name).addFilter(is_news)

if {"--queue", "--temp"} & set(sys.argv) and not str(ROOT).isascii():
    raise DvcException(
        f"DVC cannot run queued experiments in the folder {ROOT}, whose path has letters beyond ASCII: move it, or "
        "run them one by one without --queue and --temp"
    )
