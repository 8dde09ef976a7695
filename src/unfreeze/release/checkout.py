"""Whether the checkout is what its commit and its lock say: only then is it known what is promoted."""

from unfreeze import dvc_repo, git
from unfreeze.errors import UnfreezeError
from unfreeze.paths import Paths
from unfreeze.records import lineage

MOST_NAMED = 5


def require_clean(paths: Paths) -> None:
    """Find out whether what decides about results is committed.

    Raises:
        UnfreezeError: Some of it is not.
    """
    others = (paths.conf, paths.waivers, paths.corrections, paths.dvc_lock)
    deciding = (*lineage.DECIDING, *(str(path.relative_to(paths.root)) for path in others))
    if git.find_commit(paths.root) is None:
        raise UnfreezeError(f"{paths.root} has no commit that a version could be traced to: commit it first")
    changed = git.list_changed(paths.root, *deciding)
    if changed:
        raise UnfreezeError(
            f"the work tree differs from its commit in {', '.join(changed)}, so that nobody could tell what was "
            "promoted: commit or undo the changes"
        )


def require_matching_lock(paths: Paths) -> None:
    """Find out whether the files here are those that dvc.lock names.

    Raises:
        UnfreezeError: They are not, or dvc.lock cannot be read.
    """
    dvc_repo.read_lock(paths)
    stages = dvc_repo.list_mismatches(paths.root)
    if stages:
        more = f" and {len(stages) - MOST_NAMED} more" if len(stages) > MOST_NAMED else ""
        raise UnfreezeError(
            f"dvc.lock does not match {', '.join(stages[:MOST_NAMED])}{more}: run `dvc repro`, "
            "or `dvc pull` where a remote has the files"
        )
