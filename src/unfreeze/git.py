"""All that is asked of git: what a checkout is, and commits and branches that leave it as it is."""

import hashlib
import os
import shlex
import subprocess
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from unfreeze.errors import UnfreezeError
from unfreeze.runtime.redaction import redact

ORIGIN = "origin"
# Signs commits where git knows no name, as on a machine of a CI service.
IDENTITY = {"NAME": "unfreeze", "EMAIL": "unfreeze@localhost"}
# Reads the token when git asks for it, so that it stands in no file and in no list of processes.
CREDENTIALS = '!f() { echo username=x-access-token; echo "password=$GITHUB_TOKEN"; }; f'

# What shells answer where a program is missing.
NOT_INSTALLED = 127

REMEDIES = {
    "ls-remote": "check the address of origin and who may read it",
    "fetch": "check the address of origin and who may read it",
    "push": "see that this user may write to origin and that nobody else has moved the branch,",
}


def find_commit(root: Path) -> str | None:
    """Return the commit of a checkout; None outside git."""
    done = _run(root, "rev-parse", "--verify", "--quiet", "HEAD")
    return None if done.returncode else done.stdout.decode().strip()


def find_user(root: Path) -> str | None:
    """Return the name that git signs commits with; None where it knows none."""
    return _run(root, "config", "user.name").stdout.decode(errors="replace").strip() or None


def require_commit(root: Path) -> str:
    """Return the commit of a checkout.

    Raises:
        UnfreezeError: It has none.
    """
    return _ask(root, "rev-parse", "HEAD")


def require_repository(root: Path) -> None:
    """Find out whether a folder is in a git repository, which DVC needs.

    Args:
        root: The checkout.

    Raises:
        UnfreezeError: It is not, as where an archive of the project was unpacked; or git refuses to read it.
    """
    done = _run(root, "rev-parse", "--git-dir")
    if done.returncode in (0, NOT_INSTALLED):
        return
    reason = " ".join(done.stderr.decode(errors="replace").split())
    if "dubious ownership" in reason:
        raise UnfreezeError(
            f"{root} belongs to another user, so git does not read it: `git config --global --add safe.directory "
            f"{shlex.quote(str(root))}`"
        )
    raise UnfreezeError(
        f"{root} is no git repository ({reason}), and DVC keeps results by commit: `git clone` the project, or run "
        "`git init && git add --all && git commit --message start` in this folder"
    )


def require_identity(root: Path) -> None:
    """Find out whether git knows a name for the commits that `dvc exp run` makes.

    Args:
        root: The checkout.

    Raises:
        UnfreezeError: It knows none.
    """
    if _run(root, "var", "GIT_COMMITTER_IDENT").returncode not in (0, NOT_INSTALLED):
        raise UnfreezeError(
            "git knows no name and address for you, and an experiment is a commit: `git config --global user.name "
            '"Your Name" && git config --global user.email you@example.org`'
        )


def list_changed(root: Path, *names: str) -> list[str]:
    """Return which of some files and folders differ from the commit; none outside git.

    Args:
        root: The checkout.
        *names: Relative to it.
    """
    return [name for name in names if _run(root, "status", "--porcelain", "--", name).stdout.strip()]


def list_dirty(root: Path, *, besides: Iterable[str]) -> list[str]:
    """Return the files that differ from the commit or are new.

    Args:
        root: The checkout.
        besides: Patterns of files that may differ, as git's pathspecs, relative to the root.
    """
    excluded = [f":(top,exclude,glob){pattern}" for pattern in besides]
    answer = _ask(root, "status", "--porcelain", "--untracked-files=all", "--", ".", *excluded)
    return [line[3:] for line in answer.splitlines()]


def list_commits_of(root: Path, name: str) -> list[str]:
    """Return the commits of any branch that changed a file, the newest first; none outside git.

    Args:
        root: The checkout.
        name: Relative to it.
    """
    return _run(root, "log", "--all", "--format=%H", "--", name).stdout.decode().split()


def list_changed_since_commit_of(root: Path, name: str, *folders: str) -> list[str] | None:
    """Return the files in some folders that differ from the commit that last changed a file.

    Args:
        root: The checkout.
        name: The file, relative to the root.
        *folders: Relative to the root.

    Returns:
        Relative to the root; None outside git, or if the file itself differs from that commit.
    """
    commit = _run(root, "log", "-1", "--format=%H", "--", name).stdout.decode().strip()
    if not commit or list_changed(root, name):
        return None
    done = _run(root, "diff", "--name-only", "--relative", commit, "--", *folders)
    return done.stdout.decode(errors="surrogateescape").splitlines()


def hash_file(root: Path, commit: str, name: str) -> str:
    """Return the SHA-256 of a file as a commit has it.

    Args:
        root: The checkout.
        commit: One that has the file.
        name: Relative to the checkout.
    """
    return hashlib.sha256(_run(root, "show", f"{commit}:{name}").stdout).hexdigest()


def read_file(root: Path, revision: str, name: str) -> str | None:
    """Return a file's text in a commit; None where the commit has no such file."""
    if not _ask(root, "ls-tree", revision, "--", name):
        return None
    return _ask(root, "show", f"{revision}:{name}")


def fetch_tip(root: Path, branch: str) -> str | None:
    """Return the commit that a branch of the origin points to, fetched; None where there is no such branch."""
    listed = _ask(root, "ls-remote", ORIGIN, f"refs/heads/{branch}", options=_list_credentials())
    if not listed:
        return None
    commit = listed.split()[0]
    _ask(root, "fetch", "--quiet", "--no-tags", ORIGIN, commit, options=_list_credentials())
    return commit


def is_child(root: Path, commit: str, parent: str) -> bool:
    """Tell whether a commit has another as its only parent."""
    return _ask(root, "rev-list", "--parents", "--max-count=1", commit).split()[1:] == [parent]


def restore_files(root: Path, commit: str) -> None:
    """Give all files that differ between HEAD and a commit that commit's content, in the work tree alone."""
    names = _ask(root, "diff", "--name-only", "-z", "--no-renames", "HEAD", commit).split("\0")
    restore = ("restore", f"--source={commit}", "--worktree", "--", *filter(None, names))
    _ask(root, *restore, options=["--literal-pathspecs"])


def write_tree(root: Path, names: Iterable[str]) -> str:
    """Return the tree of HEAD with some files as they are in the work tree.

    Args:
        root: The checkout; neither its index nor its branch changes.
        names: Patterns of files, as git's pathspecs, relative to the root; those that match nothing are left out.
    """
    with tempfile.TemporaryDirectory(prefix="unfreeze-") as folder:
        own_index = {"GIT_INDEX_FILE": f"{folder}/index"}
        _ask(root, "read-tree", "HEAD", environment=own_index)
        for name in names:
            spec = f":(top,glob){name}"
            listing = ("ls-files", "--cached", "--others", "--exclude-standard", "--", spec)
            if _ask(root, *listing, environment=own_index):
                _ask(root, "add", "--all", "--", spec, environment=own_index)
        return _ask(root, "write-tree", environment=own_index)


def find_tree(root: Path, commit: str) -> str:
    """Return the tree of a commit."""
    return _ask(root, "rev-parse", f"{commit}^{{tree}}")


def create_commit(root: Path, tree: str, message: str) -> str:
    """Return a new commit of a tree with HEAD as its parent; no branch moves."""
    is_known = _run(root, "var", "GIT_COMMITTER_IDENT").returncode == 0
    signed = {f"GIT_{role}_{key}": value for role in ("AUTHOR", "COMMITTER") for key, value in IDENTITY.items()}
    return _ask(root, "commit-tree", tree, "-p", "HEAD", "-m", message, environment={} if is_known else signed)


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
    _ask(root, "push", "--quiet", lease, ORIGIN, f"{commit}:{name}", options=_list_credentials())


def clone(root: Path, commit: str, folder: Path) -> None:
    """Make a checkout of a commit in an empty folder, from the repository here."""
    _ask(root, "clone", "--quiet", "--no-checkout", "--no-hardlinks", "--", str(root), str(folder))
    _ask(folder, "checkout", "--quiet", "--detach", commit)


def _list_credentials() -> list[str]:
    """Return the options with which git finds the token of a CI job, for the host of that job only."""
    host = os.environ.get("GITHUB_SERVER_URL")
    if not host or not os.environ.get("GITHUB_TOKEN"):
        return []
    return ["-c", f"credential.{host}.helper={CREDENTIALS}"]


def _ask(
    root: Path,
    command: str,
    *arguments: str,
    options: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
) -> str:
    """Return what a command of git prints.

    Raises:
        UnfreezeError: It fails.
    """
    done = _run(root, command, *arguments, options=options, environment=environment)
    if done.returncode:
        reason = redact(" ".join(done.stderr.decode(errors="replace").split()) or f"status {done.returncode}")
        remedy = REMEDIES.get(command, "correct what it says")
        raise UnfreezeError(f"git {command} failed ({reason}): {remedy} and run this again")
    return done.stdout.decode(errors="surrogateescape").strip("\n")


def _run(
    root: Path,
    command: str,
    *arguments: str,
    options: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess[bytes]:
    words = ["git", "-c", "core.quotePath=false", *options, command, *arguments]
    # Without a terminal a question for a password would wait for ever.
    variables = {**os.environ, "GIT_TERMINAL_PROMPT": "0", **(environment or {})}
    try:
        return subprocess.run(words, cwd=root, env=variables, capture_output=True, check=False)
    except FileNotFoundError:
        # DVC reads repositories without the program; here such a machine counts as outside git.
        return subprocess.CompletedProcess(words, NOT_INSTALLED, b"", b"git is not installed: install it")
