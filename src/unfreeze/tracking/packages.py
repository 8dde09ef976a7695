"""Packed models in MLflow's registry, and the copies of them that are kept here."""

from unfreeze.paths import Paths
from unfreeze.serving.locate import Located


def fetch(paths: Paths, uri: str) -> Located:
    """Return the package of a registered version, fetched unless this checkout keeps it already.

    Args:
        paths: The checkout.
        uri: `models:/NAME@ALIAS` or `models:/NAME/VERSION`.

    Raises:
        UnfreezeError: There is no such version, or the registry is down and no copy is kept.
    """
    raise NotImplementedError
