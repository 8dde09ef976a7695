"""The `unfreeze` command: one subcommand a DVC stage, and those for people and for continuous integration."""

import argparse
import errno
import os
import sys

from unfreeze.runtime.imports import quick_imports

# Before TensorFlow is imported anywhere: it writes pages about what it found on the machine.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

with quick_imports():
    from unfreeze.cli import ci, registry, stages, study
    from unfreeze.errors import UnfreezeError
    from unfreeze.runtime import console
    from unfreeze.runtime.redaction import redacted

# What a full or limited disk answers.
DISK_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


def main(arguments: list[str] | None = None) -> None:
    """Run a command and end with status 1 and one line if the user can mend what went wrong."""
    console.configure_logging()
    options = _parser().parse_args(arguments)
    try:
        options.run(options)
    except UnfreezeError as error:
        sys.exit(f"error: {redacted(str(error))}")
    except OSError as error:
        if not _is_disk_full(error):
            raise
        name = f" {error.filename}" if error.filename else ""
        sys.exit(f"error: no space left to write{name} ({error}): free some and run `dvc repro` again")
    except KeyboardInterrupt:
        sys.exit("error: interrupted; finished stages are kept, `dvc repro` goes on from there")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="unfreeze", description=__doc__)
    # As long as the longest stage's name, so that each has one line.
    commands = parser.add_subparsers(required=True, metavar="STAGE_OR_COMMAND")
    stages.add(commands)
    study.add(commands)
    registry.add(commands)
    ci.add(commands)
    return parser


def _is_disk_full(error: OSError) -> bool:
    # HDF5 keeps the number in its message only.
    return error.errno in DISK_FULL or any(f"errno = {number}" in str(error) for number in DISK_FULL)
