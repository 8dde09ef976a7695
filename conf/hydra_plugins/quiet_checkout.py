"""Keeps warnings of no fault off the screen; DVC loads this at `dvc exp run` (`plugins_path` in .dvc/config).

`dvc exp run` first brings the outputs that dvc.lock names, and warns of each output that the lock does not know: some
eighty lines for a new backbone, of files that the stages are about to make.
"""

import logging

EXPECTED = "No file hash info found"


def is_news(record: logging.LogRecord) -> bool:
    """Tell whether a message is worth a line: all but those of outputs that no stage has made yet."""
    return not str(record.msg).startswith(EXPECTED)


for name in ("dvc_data.index.checkout", "dvc_data.hashfile.checkout"):
    logging.getLogger(name).addFilter(is_news)
