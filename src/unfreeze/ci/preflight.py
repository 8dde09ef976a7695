"""What must be right before anything runs: the work tree, the lock, the remote and MLflow."""

from collections.abc import Iterable

from unfreeze import dvc_repo, git
from unfreeze.errors import UnfreezeError
from unfreeze.paths import Paths
from unfreeze.settings.params import load
from unfreeze.tracking.server import Server

MOST_NAMED = 5


def require(paths: Paths, *, may_differ: Iterable[str]) -> str | None:
    """Find out before the work whether a retraining can come to its end.

    Args:
        paths: The checkout.
        may_differ: Patterns of files that an earlier attempt may have written.

    Returns:
        The name of the DVC remote; None where none is set.

    Raises:
        UnfreezeError: One of them is not as it must be; the message names the remedy.
    """
    if git.find_commit(paths.root) is None:
        raise UnfreezeError(f"{paths.root} is no git checkout: clone the repository and run this in the clone")
    dvc_repo.require_lock(paths)
    if changed := git.list_dirty(paths.root, besides=may_differ):
        named = ", ".join(changed[:MOST_NAMED]) + (", ..." if len(changed) > MOST_NAMED else "")
        raise UnfreezeError(f"the work tree differs from its commit ({named}): commit, stash or remove that first")
    Server(paths, load(paths.params).tracking.experiment).require()
    return dvc_repo.require_remote(paths.root)
