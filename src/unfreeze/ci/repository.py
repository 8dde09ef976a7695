"""Git for a retraining: results become a commit on a branch of their own; the checkout stays on its own."""

import os
import subprocess
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from unfreeze.errors import UnfreezeError
from unfreeze.runtime.redaction import redacted

ORIGIN = "origin"
# Signs commits where git knows no name, as on a machine of a CI service.
IDENTITY = {"NAME": "unfreeze", "EMAIL": "unfreeze@localhost"}
# Reads the token when git asks for it, so that it stands in no file and in no list of processes.
CREDENTIALS = '!f() { echo username=x-access-token; echo "password=$GITHUB_TOKEN"; }; f'

REMEDIES = {
    "ls-remote": "check the address of origin and who may read it",
    "fetch": "check the address of origin and who may read it",
    "push": "see that this user may write to origin and that nobody else has moved the branch,",
}


def head(root: Path) -> str:
    """Return the commit of a checkout."""
    return _git(root, "rev-parse", "HEAD")


def dirty(root: Path, *, besides: Iterable[str]) -> list[str]:
    """Return the files that differ from the commit or are new.

    Args:
        root: The checkout.
        besides: Patterns of files that may differ, as git's pathspecs, relative to the root.
    """
    excluded = [f":(top,exclude,glob){pattern}" for pattern in besides]
    told = _git(root, "status", "--porcelain", "--untracked-files=all", "--", ".", *excluded)
    return [line[3:] for line in told.splitlines()]


def content(root: Path, revision: str, name: str) -> str | None:
    """Return a file's text in a commit; None where the commit has no such file."""
    if not _git(root, "ls-tree", revision, "--", name):
        return None
    return _git(root, "show", f"{revision}:{name}")


def tip(root: Path, branch: str) -> str | None:
    """Return the commit that a branch of the origin points to, fetched; None where there is no such branch."""
    listed = _git(root, "ls-remote", ORIGIN, f"refs/heads/{branch}", options=_credentials())
    if not listed:
        return None
    commit = listed.split()[0]
    _git(root, "fetch", "--quiet", "--no-tags", ORIGIN, commit, options=_credentials())
    return commit


def is_child(root: Path, commit: str, parent: str) -> bool:
    """Tell whether a commit follows directly on another and on no other."""
    return _git(root, "rev-list", "--parents", "--max-count=1", commit).split()[1:] == [parent]


def take_over(root: Path, commit: str) -> None:
    """Give all files that differ between HEAD and a commit that commit's content, in the work tree alone."""
    names = _git(root, "diff", "--name-only", "-z", "--no-renames", "HEAD", commit).split("\0")
    _git(
        root,
        "restore",
        f"--source={commit}",
        "--worktree",
        "--",
        *filter(None, names),
        options=["--literal-pathspecs"],
    )


def tree(root: Path, names: Iterable[str]) -> str:
    """Return the tree of HEAD with some files as they are in the work tree.

    Args:
        root: The checkout; neither its index nor its branch changes.
        names: Patterns of files, as git's pathspecs, relative to the root; those that match nothing are left out.
    """
    with tempfile.TemporaryDirectory(prefix="unfreeze-") as folder:
        own_index = {"GIT_INDEX_FILE": f"{folder}/index"}
        _git(root, "read-tree", "HEAD", environment=own_index)
        for name in names:
            spec = f":(top,glob){name}"
            if _git(
                root, "ls-files", "--cached", "--others", "--exclude-standard", "--", spec, environment=own_index
            ):
                _git(root, "add", "--all", "--", spec, environment=own_index)
        return _git(root, "write-tree", environment=own_index)


def tree_of(root: Path, commit: str) -> str:
    """Return the tree of a commit."""
    return _git(root, "rev-parse", f"{commit}^{{tree}}")


def commit(root: Path, tree: str, message: str) -> str:
    """Return a new commit of a tree that follows on HEAD; no branch moves."""
    known = subprocess.run(["git", "var", "GIT_COMMITTER_IDENT"], cwd=root, capture_output=True, check=False)
    roles = ("AUTHOR", "COMMITTER")
    signed = {f"GIT_{role}_{key}": value for role in roles for key, value in IDENTITY.items()}
    return _git(
        root, "commit-tree", tree, "-p", "HEAD", "-m", message, environment={} if known.returncode == 0 else signed
    )


def push(root: Path, commit: str, branch: str, *, expected: str | None) -> None:
    """Let a branch of the origin point to a commit.

    Args:
        root: The checkout.
        commit: The commit.
        branch: Name of the branch; it is made if it is not there.
        expected: What the branch points to now; None if it is not there.

    Raises:
        UnfreezeError: The branch has moved since, or git may not push.
    """
    name = f"refs/heads/{branch}"
    lease = f"--force-with-lease={name}:{expected or ''}"
    _git(root, "push", "--quiet", lease, ORIGIN, f"{commit}:{name}", options=_credentials())


def clone(root: Path, commit: str, folder: Path) -> None:
    """Make a checkout of a commit in an empty folder, from the repository here."""
    _git(root, "clone", "--quiet", "--no-checkout", "--no-hardlinks", "--", str(root), str(folder))
    _git(folder, "checkout", "--quiet", "--detach", commit)


def _credentials() -> list[str]:
    """Return the options with which git finds the token of a CI job, for the host of that job only."""
    host = os.environ.get("GITHUB_SERVER_URL")
    if not host or not os.environ.get("GITHUB_TOKEN"):
        return []
    return ["-c", f"credential.{host}.helper={CREDENTIALS}"]


def _git(
    root: Path,
    command: str,
    *arguments: str,
    options: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
) -> str:
    done = subprocess.run(
        ["git", "-c", "core.quotePath=false", *options, command, *arguments],
        cwd=root,
        # Without a terminal a question for a password would wait for ever.
        env={**os.environ, "GIT_TERMINAL_PROMPT": "0", **(environment or {})},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        told = redacted(" ".join(done.stderr.split()) or f"status {done.returncode}")
        remedy = REMEDIES.get(command, "mend what it says")
        raise UnfreezeError(f"git {command} failed ({told}): {remedy} and run this again")
    return done.stdout.strip("\n")
