"""Which stages `dvc repro` will run, and why: the pipeline as it is wanted, compared with dvc.lock."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any, Literal, Protocol

from unfreeze.dvc_workspace import Step

Kind = Literal["never", "command", "parameter", "code", "file", "upstream", "output"]
# Digests of the code are compared by stage: code/<stage>.txt.
CODE = "code/"
# A reason lists so many parameters; the rest is counted.
MOST_PARAMETERS = 3
NO_VALUE = "nothing"


@dataclass(frozen=True)
class Reason:
    """Why a stage runs.

    Args:
        kind: What is not as dvc.lock has it.
        text: The reason for people, such as `seed: 0 -> 1`; of kind `upstream` the name of a stage that runs.
    """

    kind: Kind
    text: str


@dataclass(frozen=True)
class Outlook:
    """What will become of a stage.

    Args:
        step: The stage.
        action: `run`, `restore` if DVC's cache has the results of the same run, or `keep`.
        reasons: Why it is not kept.
    """

    step: Step
    action: Literal["run", "restore", "keep"]
    reasons: tuple[Reason, ...] = ()

    @property
    def repeats(self) -> bool:
        """Whether it runs only to make again what the lock knows."""
        return self.action == "run" and all(reason.kind == "output" for reason in self.reasons)


class Place(Protocol):
    """What is on the disk."""

    def digest(self, path: str) -> str | None:
        """Return the digest of a file or folder as DVC computes it; None if it is not there."""

    def find_run(self, step: Step, digests: Mapping[str, str]) -> dict[str, str] | None:
        """Return the digests of the outputs of an earlier run with the same inputs, if DVC's cache holds them all."""

    def holds(self, digests: Mapping[str, str]) -> bool:
        """Tell whether DVC's cache holds all outputs with these digests."""


@dataclass
class _Known:
    """What is known of files at a point of the study.

    Args:
        digests: Digests of outputs, by path.
        writers: The stages that write outputs which nobody knows yet, by path.
        brought: Outputs that are made again or brought from DVC's cache, by path: the stage if they will differ from
            those of the lock.
    """

    digests: dict[str, str]
    writers: dict[str, str] = field(default_factory=dict)
    brought: dict[str, str | None] = field(default_factory=dict)


def foresee(
    steps: Sequence[Step], locked: Mapping[str, Any], place: Place, predicted: Mapping[str, str]
) -> list[Outlook]:
    """Return what `dvc repro` will do with each stage.

    A stage that follows on one that runs is expected to run as well, since nobody knows what that one will write;
    where it writes the same as before, DVC keeps what follows. A stage that runs only because its outputs are not
    here is expected to write the same: what follows on it is kept.

    Args:
        steps: The stages in the order in which they run.
        locked: The stages of dvc.lock by name; empty if there is none.
        place: The files and DVC's cache.
        predicted: Digests of files that are known before the stage that writes them has run.
    """
    known = _Known(dict(predicted))
    outlooks = []
    for step in steps:
        lock = locked.get(step.name)
        reasons = _find_reasons(step, lock, known, place)
        outlook = _decide(step, lock, reasons, known, place)
        outlooks.append(outlook)
    return outlooks


def _decide(step: Step, lock: Any, reasons: list[Reason], known: _Known, place: Place) -> Outlook:
    """Return what becomes of a stage, and note what is known of its outputs from then on."""
    outputs: dict[str, str] | None = _digests(lock["outs"]) if lock else {}
    action: Literal["run", "restore", "keep"] = "keep"
    if not reasons:
        damaged = list(_find_damaged(lock, place))
        if damaged:
            action = "restore" if step.restorable and place.holds(_digests(lock["outs"])) else "run"
            reasons = damaged
    else:
        outputs = _find_run(step, known, place)
        action = "run" if outputs is None else "restore"
    for path in step.outs:
        if outputs is not None and path in outputs:
            known.digests.setdefault(path, outputs[path])
        elif path not in known.digests:
            known.writers[path] = step.name
        if action != "keep" and outputs is not None:
            same = lock is not None and _digests(lock["outs"]).get(path) == outputs.get(path)
            known.brought[path] = None if same else step.name
    return Outlook(step, action, tuple(reasons))


def _find_reasons(step: Step, lock: Any, known: _Known, place: Place) -> list[Reason]:
    if lock is None:
        return [Reason("never", "has not run here yet")]
    reasons = []
    if " ".join(step.command.split()) != " ".join(str(lock["cmd"]).split()):
        reasons.append(Reason("command", "its command in dvc.yaml changed"))
    reasons += compare_parameters(lock.get("params", {}), step.params)
    before = _digests(lock.get("deps", ()))
    for path in step.deps:
        writers = _writers_of(path, known)
        if writers:
            reasons += [Reason("upstream", name) for name in writers]
        elif _digest(path, known, place, before) != before.get(path):
            reasons.append(_describe_dependency(path, before))
    reasons += [Reason("file", f"{path} is no longer read") for path in before if path not in step.deps]
    if set(step.outs) != set(_digests(lock["outs"])):
        reasons.append(Reason("output", "its outputs in dvc.yaml changed"))
    return list(dict.fromkeys(reasons))


def _describe_dependency(path: str, before: Mapping[str, str]) -> Reason:
    if path.startswith(CODE) and path in before:
        return Reason("code", "its code changed")
    return Reason("file", f"{path} changed" if path in before else f"{path} was not read before")


def compare_parameters(
    locked: Mapping[str, Mapping[str, Any]], wanted: Mapping[str, Mapping[str, Any]]
) -> list[Reason]:
    """Return which parameters differ, one reason for all.

    Args:
        locked: Parameters in dvc.lock, by file and dotted name.
        wanted: Parameters as they are now.

    >>> compare_parameters({"params.yaml": {"search": {"epochs": 1}}}, {"params.yaml": {"search": {"epochs": 2}}})
    [Reason(kind='parameter', text='search.epochs: 1 -> 2')]
    """
    before, after = (
        {key: value for file in both.values() for key, value in _flatten(file)} for both in (locked, wanted)
    )
    changed = [key for key in {**after, **before} if before.get(key, NO_VALUE) != after.get(key, NO_VALUE)]
    if not changed:
        return []
    shown = [f"{key}: {_show(before, key)} -> {_show(after, key)}" for key in changed[:MOST_PARAMETERS]]
    more = len(changed) - len(shown)
    return [Reason("parameter", ", ".join([*shown, *([f"and {more} more"] if more else [])]))]


def _flatten(values: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(values, Mapping) and values:
        for key, value in values.items():
            yield from _flatten(value, f"{prefix}.{key}" if prefix else str(key))
    elif prefix:
        yield prefix, values


def _show(values: Mapping[str, Any], key: str) -> str:
    value = values.get(key, NO_VALUE)
    return "null" if value is None else str(value)


def _find_damaged(lock: Any, place: Place) -> Iterator[Reason]:
    """Yield why outputs are not here as the lock has them."""
    found = {path: (place.digest(path), digest) for path, digest in _digests(lock["outs"]).items()}
    missing = [path for path, (here, _) in found.items() if here is None]
    changed = [path for path, (here, digest) in found.items() if here not in (None, digest)]
    for paths, what in ((missing, "missing"), (changed, "changed")):
        if paths:
            more = f" and {len(paths) - 1} more" if len(paths) > 1 else ""
            yield Reason("output", f"{paths[0]}{more} {what} here")


def _find_run(step: Step, known: _Known, place: Place) -> dict[str, str] | None:
    if not step.restorable or any(_writers_of(path, known) for path in step.deps):
        return None
    digests = {path: _digest(path, known, place, {}) for path in step.deps}
    if any(digest is None for digest in digests.values()):
        return None
    return place.find_run(step, {path: digest for path, digest in digests.items() if digest is not None})


def _writers_of(path: str, known: _Known) -> list[str]:
    """Return the stages that will write a file, a part of a folder, or the folder around a file, in their order."""
    if path in known.digests:
        return []
    return list(dict.fromkeys(name for written, name in known.writers.items() if _overlap(path, written)))


def _digest(path: str, known: _Known, place: Place, before: Mapping[str, str]) -> str | None:
    """Return the digest that a file or folder will have when a stage reads it; None if nobody knows."""
    if path in known.digests:
        return known.digests[path]
    brought = [stage for written, stage in known.brought.items() if _overlap(path, written)]
    if not brought:
        return place.digest(path)
    # A folder of which a part comes back: the same one, or another that no lock knows.
    return None if any(brought) else before.get(path)


def _overlap(one: str, other: str) -> bool:
    return PurePosixPath(one).is_relative_to(other) or PurePosixPath(other).is_relative_to(one)


def _digests(entries: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """Return digests by path of what dvc.lock lists."""
    return {str(entry["path"]): str(entry.get("md5") or entry.get("hash") or "") for entry in entries}
