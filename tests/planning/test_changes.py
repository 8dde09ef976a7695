"""Which stages run and why, on a pipeline of three stages that is written out here."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from unfreeze.dvc_workspace import Step
from unfreeze.planning.changes import Outlook, compare_parameters, foresee


@dataclass
class Disk:
    """Digests of what is on a disk, of earlier runs by stage, and of what DVC's cache holds."""

    files: dict[str, str]
    runs: dict[str, dict[str, str]] = field(default_factory=dict)
    cached: frozenset[str] = frozenset()

    def digest(self, path: str) -> str | None:
        return self.files.get(path)

    def find_run(self, step: Step, digests: Mapping[str, str]) -> dict[str, str] | None:
        return self.runs.get(step.name)

    def holds(self, digests: Mapping[str, str]) -> bool:
        return set(digests.values()) <= self.cached


STEPS = (
    Step("download", "get", ("code/download.txt", "conf/data.yaml"), {}, ("raw",), restorable=False),
    Step("extract@a", "run a", ("raw",), {"params.yaml": {"seed": 0}}, ("features/a.h5",), restorable=True),
    Step("extract@b", "run b", ("raw",), {"params.yaml": {"seed": 0}}, ("features/b.h5",), restorable=True),
    Step("verdict", "judge", ("features",), {}, ("verdict.json",), restorable=True),
)
FILES = {
    "code/download.txt": "c1", "conf/data.yaml": "d1", "raw": "r1",
    "features/a.h5": "a1", "features/b.h5": "b1", "features": "f1", "verdict.json": "v1",
}  # fmt: skip


def lock(steps: tuple[Step, ...] = STEPS) -> dict[str, Any]:
    """Return dvc.lock as a run of the stages writes it."""
    return {
        step.name: {
            "cmd": step.command,
            "deps": [{"path": path, "md5": FILES[path]} for path in step.deps],
            "params": step.params,
            "outs": [{"path": path, "md5": FILES[path]} for path in step.outs],
        }
        for step in steps
    }


def look(
    *, steps: tuple[Step, ...] = STEPS, disk: Disk | None = None, predicted: Mapping[str, str] | None = None
) -> dict[str, Outlook]:
    found = foresee(steps, lock(), disk or Disk(dict(FILES)), predicted or {})
    return {outlook.step.name: outlook for outlook in found}


def actions(outlooks: dict[str, Outlook]) -> dict[str, str]:
    return {name: outlook.action for name, outlook in outlooks.items() if outlook.action != "keep"}


def reasons(outlook: Outlook) -> list[tuple[str, str]]:
    return [(reason.kind, reason.text) for reason in outlook.reasons]


def test_nothing_runs_if_nothing_has_changed() -> None:
    assert actions(look()) == {}


def test_without_a_lock_everything_runs() -> None:
    found = foresee(STEPS, {}, Disk({}), {})
    assert [outlook.action for outlook in found] == ["run"] * 4
    assert reasons(found[0]) == [("never", "has not run here yet")]


def test_what_follows_on_a_changed_stage_runs_and_says_after_which() -> None:
    found = look(steps=(*STEPS[:2], replace(STEPS[2], params={"params.yaml": {"seed": 1}}), STEPS[3]))
    assert actions(found) == {"extract@b": "run", "verdict": "run"}
    assert reasons(found["extract@b"]) == [("parameter", "seed: 0 -> 1")]
    assert reasons(found["verdict"]) == [("upstream", "extract@b")]


@pytest.mark.parametrize(
    ("path", "expected"),
    [("conf/data.yaml", ("file", "conf/data.yaml changed")), ("code/download.txt", ("code", "its code changed"))],
)
def test_a_changed_file_is_told_from_changed_code(path: str, expected: tuple[str, str]) -> None:
    found = look(disk=Disk({**FILES, path: "new"}))
    assert reasons(found["download"]) == [expected]
    assert len(actions(found)) == len(STEPS)


def test_a_digest_that_is_known_before_the_stage_that_writes_it_counts() -> None:
    # The code that is on the disk is older than the source: what will be there when the stage runs decides.
    found = look(disk=Disk({**FILES, "code/download.txt": "old"}), predicted={"code/download.txt": "c1"})
    assert actions(found) == {}


def test_a_changed_command_and_a_file_that_is_no_longer_read_are_reasons() -> None:
    changed = replace(STEPS[0], command="get --all", deps=("code/download.txt",))
    assert reasons(look(steps=(changed, *STEPS[1:]))["download"]) == [
        ("command", "its command in dvc.yaml changed"),
        ("file", "conf/data.yaml is no longer read"),
    ]


def test_outputs_that_are_missing_come_from_the_cache_if_it_holds_them() -> None:
    gone = {path: digest for path, digest in FILES.items() if path != "features/a.h5"}
    # A folder that lacks a file has another digest, until DVC has brought the file.
    held = look(disk=Disk({**gone, "features": "half"}, cached=frozenset({"a1"})))
    assert actions(held) == {"extract@a": "restore"}
    assert reasons(held["extract@a"]) == [("output", "features/a.h5 missing here")]
    # Made again from the same inputs it is the same, so that what follows is kept.
    made = look(disk=Disk({**gone, "features": "half"}))
    assert actions(made) == {"extract@a": "run"}
    assert made["extract@a"].repeats


def test_an_earlier_run_with_the_same_inputs_is_not_repeated() -> None:
    steps = (*STEPS[:2], replace(STEPS[2], params={"params.yaml": {"seed": 1}}), STEPS[3])
    same = look(steps=steps, disk=Disk(dict(FILES), runs={"extract@b": {"features/b.h5": "b1"}}))
    assert actions(same) == {"extract@b": "restore"}
    other = look(steps=steps, disk=Disk(dict(FILES), runs={"extract@b": {"features/b.h5": "b2"}}))
    assert actions(other) == {"extract@b": "restore", "verdict": "run"}


def test_a_stage_that_keeps_state_is_never_brought_from_the_cache() -> None:
    disk = Disk({**FILES, "conf/data.yaml": "new"}, runs={"download": {"raw": "r1"}}, cached=frozenset({"r1"}))
    assert actions(look(disk=disk))["download"] == "run"


def test_many_changed_parameters_are_counted() -> None:
    (reason,) = compare_parameters(
        {"params.yaml": {}}, {"params.yaml": {"head": {"a": 1, "b": None, "c": 3, "d": 4}}}
    )
    assert reason.text == "head.a: nothing -> 1, head.b: nothing -> null, head.c: nothing -> 3, and 1 more"
