"""How many processors this process may use."""

import math
import os
from collections.abc import Iterator
from pathlib import Path

# Where Linux shows control groups, and to which this process belongs.
CONTROL_GROUPS = Path("/sys/fs/cgroup")
MEMBERSHIP = Path("/proc/self/cgroup")

_limit: int | None = None


def limit(count: int) -> None:
    """Let this process use fewer processors than it is bound to, as where a scheduler counts them without binding.

    Args:
        count: How many, 1 or more.
    """
    global _limit
    _limit = count


def count_processors(groups: Path = CONTROL_GROUPS, membership: Path = MEMBERSHIP) -> int:
    """Return the number of processors that this process has a share of, 1 or more.

    It is the share, rounded up: half a processor counts as one.

    Args:
        groups: Where control groups are mounted.
        membership: The file that names the groups of this process.
    """
    return _limit if _limit is not None else max(1, math.ceil(measure_share(groups, membership)))


def measure_share(groups: Path = CONTROL_GROUPS, membership: Path = MEMBERSHIP) -> float:
    """Return how many processors this process has a share of, such as 0.5.

    It is the least of what the machine has, what the process is bound to (as by Slurm or `taskset`), and the quota of
    its control groups (as set by Docker, Kubernetes or systemd).

    Args:
        groups: Where control groups are mounted.
        membership: The file that names the groups of this process.
    """
    bound = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min([bound, *_list_quotas(groups, membership)])


def _list_quotas(groups: Path, membership: Path) -> Iterator[float]:
    """Yield the limits of this process's groups and of those they lie in, in processors."""
    for line in membership.read_text(encoding="utf-8").splitlines() if membership.exists() else ():
        _, controllers, name = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        root = groups / controllers if controllers else groups
        # In a container the path may be that of the host, and the group itself is mounted at the root.
        inside = (root / name.lstrip("/")).resolve()
        for folder in {root, *(folder for folder in (inside, *inside.parents) if folder.is_relative_to(root))}:
            yield from _read_quota(folder)


def _read_quota(folder: Path) -> Iterator[float]:
    """Yield the limit of a group, of version 2 or 1, if it has one."""
    for names in (("cpu.max",), ("cpu.cfs_quota_us", "cpu.cfs_period_us")):
        try:
            quota, period = " ".join((folder / name).read_text(encoding="utf-8") for name in names).split()
        except OSError:
            continue
        if quota.isdigit():
            yield int(quota) / int(period)
