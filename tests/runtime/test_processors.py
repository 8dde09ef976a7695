import os
from pathlib import Path

import pytest

from unfreeze.runtime.processors import count_processors

BOUND = len(os.sched_getaffinity(0))


def count(folder: Path, files: dict[str, str], membership: str) -> int:
    for name, content in files.items():
        path = folder / "cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    (folder / "self").write_text(membership)
    return count_processors(folder / "cgroup", folder / "self")


@pytest.mark.parametrize(
    ("files", "membership"),
    [
        ({"cpu.max": "50000 100000\n"}, "0::/\n"),
        ({"job/cpu.max": "100000 100000\n", "job/step/cpu.max": "max 100000\n"}, "0::/job/step\n"),
        # A container that sees the host's name of its group, and the group itself at the root.
        ({"cpu.max": "100000 100000\n"}, "0::/../docker/0123\n"),
        (
            {"cpu,cpuacct/job/cpu.cfs_quota_us": "70000\n", "cpu,cpuacct/job/cpu.cfs_period_us": "100000\n"},
            "5:memory:/job\n4:cpu,cpuacct:/job\n",
        ),
    ],
)
def test_a_quota_of_a_processor_or_less_is_one(tmp_path: Path, files: dict[str, str], membership: str) -> None:
    assert count(tmp_path, files, membership) == 1


@pytest.mark.parametrize(
    ("files", "membership"),
    [
        ({}, "0::/\n"),
        ({"cpu.max": "max 100000\n"}, "0::/\n"),
        ({"cpu.max": f"{BOUND}50000 100000\n"}, "0::/\n"),
        ({"other/cpu.max": "1 100000\n"}, "0::/job\n"),
        (
            {"cpu,cpuacct/cpu.cfs_quota_us": "-1\n", "cpu,cpuacct/cpu.cfs_period_us": "100000\n"},
            "4:cpu,cpuacct:/\n",
        ),
    ],
)
def test_without_a_quota_it_is_what_the_process_is_bound_to(
    tmp_path: Path, files: dict[str, str], membership: str
) -> None:
    assert count(tmp_path, files, membership) == BOUND


def test_a_process_bound_to_one_processor_has_one(tmp_path: Path) -> None:
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    try:
        assert count(tmp_path, {}, "") == 1
    finally:
        os.sched_setaffinity(0, before)
