"""Which model a command uses: one of the study, a folder, or a version in MLflow's registry."""

import argparse

from unfreeze.paths import Paths
from unfreeze.runtime import console
from unfreeze.serving import locate
from unfreeze.serving.locate import Located


def add_model(command: argparse.ArgumentParser) -> None:
    """Add the option that names a model.

    Args:
        command: The command's parser.
    """
    command.add_argument(
        "--model",
        metavar="NAME",
        help="a backbone of the study, the folder of a packed model, or models:/unfreeze@champion; "
        "the study's best by default",
    )


def locate_model(paths: Paths, name: str | None) -> Located:
    """Return where the package of a model lies; one of the registry is fetched first.

    Args:
        paths: The checkout.
        name: As given with `--model`.

    Raises:
        UnfreezeError: There is no such model.
    """
    if name is not None and name.startswith(locate.REGISTERED):
        from unfreeze.tracking import packages

        found = packages.fetch(paths, name)
    else:
        found = locate.find_package(paths, name)
    if found.note:
        console.log.warning("%s", found.note)
    return found
