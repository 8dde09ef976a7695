"""Gathering of what a plan follows from: the pipeline and its lock, the source, networks, records and the machine."""

import hashlib
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from unfreeze import dvc_repo, dvc_workspace, files, git
from unfreeze.errors import UnfreezeError
from unfreeze.paths import Paths
from unfreeze.planning import budget, machine, measurements, networks
from unfreeze.planning.changes import Outlook, Reason, foresee
from unfreeze.planning.forecast import Past, measure_speed, recall
from unfreeze.planning.jobs import OF_BACKBONE, Scale
from unfreeze.planning.measurements import Measurement
from unfreeze.planning.networks import Network, Wish
from unfreeze.planning.plan import Plan, Study, make_plan, split_name
from unfreeze.planning.scale import find_extent
from unfreeze.planning.slowness import list_slowness
from unfreeze.records.code import CODE_STAGE, Source
from unfreeze.records.code_digests import find_digests
from unfreeze.runtime.processor_kind import find_processor_kind
from unfreeze.runtime.processors import measure_share
from unfreeze.settings.params import Params
from unfreeze.settings.training import Unfreeze

Validate = Callable[[Params, Paths], None]
# Where the code of stages is.
CODE_FOLDERS = ("src", "plugins", "conf/backbones")
# The file of all parameters, on which some stages depend as a whole.
PARAMS = "params.yaml"

# Changed files of code that a line names.
MOST_NAMED = 3


def survey(paths: Paths, params: Params, file: Path, validate: Validate) -> Plan:
    """Return the plan of a study.

    Args:
        paths: The checkout.
        params: Its parameters.
        file: The file that they were read from.
        validate: Runs the stage `validate` in a folder.

    Raises:
        UnfreezeError: The parameters, dvc.yaml or dvc.lock are wrong, or images are not where they are said to be.
    """
    outlooks, locked = _look_ahead(paths, params, file, validate)
    known = [found for found in measurements.read(paths.measurements) if found.machine == machine.name_machine()]
    settings = params.model_dump(mode="json")
    extent = find_extent(params.data, settings["data"], locked.get("download"), known)
    running = [split_name(outlook.step.name) for outlook in outlooks if outlook.action == "run"]
    study = Study(
        settings=settings,
        scale=extent
        and Scale(
            images=extent[0],
            raw_mb=extent[1] / 1e6,
            backbones=len(params.study.backbones),
            seeds=len(params.study.seeds),
        ),
        networks=_describe_networks(paths, params, {str(name) for stage, name in running if stage in OF_BACKBONE}),
    )
    room = machine.measure_room(paths.root)
    budget.require_budget(study, room, params.study.minutes)
    pasts = recall_runs(paths, known) if running else []
    ran = {past.job.stage for past in pasts}
    speed = measure_speed(pasts)
    if speed is None and any(stage not in ran for stage, _ in running):
        speed = machine.probe_speed()
    return make_plan(
        outlooks,
        study,
        pasts,
        speed or machine.Speed(),
        room,
        slowness=list_slowness(
            find_processor_kind(), measure_share(), os.environ, precision=params.extract.precision
        ),
    )


def _look_ahead(paths: Paths, params: Params, file: Path, validate: Validate) -> tuple[list[Outlook], dict[str, Any]]:
    """Return what will become of each stage, and the stages of dvc.lock."""
    steps = dvc_workspace.list_steps(paths, file)
    locked = dvc_repo.read_lock(paths)["stages"] if paths.dvc_lock.exists() else {}
    with dvc_workspace.open_workspace(paths.root) as place:
        predicted = {PARAMS: _digest(file)}
        if not _keeps(locked.get("validate"), PARAMS, predicted[PARAMS]):
            predicted |= _predict_validate(params, paths, validate)
        code = next((step for step in steps if step.name == CODE_STAGE), None)
        here = code and all(
            _keeps(locked.get(CODE_STAGE), path, place.digest(path)) for path in (*code.deps, *code.outs)
        )
        if code and not here:
            predicted |= _predict_code(paths)
        outlooks = foresee(steps, locked, place, predicted)
    return _name_code(paths, outlooks), locked


def _name_code(paths: Paths, outlooks: list[Outlook]) -> list[Outlook]:
    """Name the files behind a changed digest of code: those that changed since dvc.lock was committed."""
    if not any(reason.kind == "code" for outlook in outlooks for reason in outlook.reasons):
        return outlooks
    changed = git.list_changed_since_commit_of(paths.root, paths.dvc_lock.name, *CODE_FOLDERS)
    if not changed:
        return outlooks
    source = Source(paths.root)

    def name(outlook: Outlook, reason: Reason) -> Reason:
        if reason.kind != "code":
            return reason
        used = _list_files(source, split_name(outlook.step.name)[0])
        named = [file for file in changed if file in used]
        more = f" and {len(named) - MOST_NAMED} more" if len(named) > MOST_NAMED else ""
        return replace(reason, text=f"{reason.text} ({', '.join(named[:MOST_NAMED])}{more})") if named else reason

    return [
        replace(outlook, reasons=tuple(name(outlook, reason) for reason in outlook.reasons)) for outlook in outlooks
    ]


def _list_files(source: Source, stage: str) -> set[str]:
    """Return the files of the code that a stage can reach, relative to the root."""
    keys, templates = source.reach(stage)
    modules = {
        f"{'' if module.startswith('plugins.') else 'src/'}{module.replace('.', '/')}.py" for module, _ in keys
    }
    return modules | {f"src/unfreeze/templates/{template}" for template in templates}


def _keeps(lock: Any, path: str, digest: str | None) -> bool:
    """Tell whether a file is as a stage of dvc.lock has it."""
    entries = [*lock.get("deps", ()), *lock.get("outs", ())] if lock else []
    return any(entry["path"] == path and entry.get("md5") == digest for entry in entries)


def _predict_code(paths: Paths) -> dict[str, str]:
    """Return the digests of the files that the stage `code` will write."""
    return {
        (paths.code / f"{stage}.txt").relative_to(paths.root).as_posix(): _md5(f"{digest}\n".encode())
        for stage, digest in find_digests(paths).items()
    }


def _predict_validate(params: Params, paths: Paths, validate: Validate) -> dict[str, str]:
    """Check the parameters, and return the digests of the files that the stage `validate` will write."""
    with TemporaryDirectory() as folder:
        there = Paths(Path(folder))
        validate(params, there)
        return {
            path.relative_to(folder).as_posix(): _digest(path)
            for path in sorted(there.root.rglob("*"))
            if path.is_file()
        }


def _describe_networks(paths: Paths, params: Params, names: set[str]) -> dict[str, Network]:
    wishes = [make_wish(paths, name, params.preprocess.image_size, params.unfreeze) for name in sorted(names)]
    found = networks.describe_networks(paths, wishes)
    return {wanted.backbone: network for wanted, network in zip(wishes, found, strict=True)}


def recall_runs(paths: Paths, known: list[Measurement]) -> list[Past]:
    """Return earlier runs; those of a backbone that can no longer be built are left out.

    Args:
        paths: The checkout.
        known: What was measured of this machine.
    """
    wishes: dict[int, Wish] = {}
    for number, found in enumerate(known):
        if found.backbone:
            try:
                unfreeze = Unfreeze.model_validate(found.settings["unfreeze"])
                size = int(found.settings["preprocess"]["image_size"])
            except (ValueError, KeyError):
                continue
            wishes[number] = make_wish(paths, found.backbone, size, unfreeze)
    distinct = {files.digest(wish.to_json()): wish for wish in wishes.values()}
    built = dict(zip(distinct, _describe_those_left(paths, list(distinct.values())), strict=True))
    described = [
        built.get(files.digest(wishes[number].to_json())) if number in wishes else None
        for number in range(len(known))
    ]
    return recall(known, described)


def _describe_those_left(paths: Paths, wishes: list[Wish]) -> list[Network | None]:
    """Return what each network costs; None for those of a backbone that can no longer be built."""
    try:
        # All in one process, which takes seconds to start.
        return list(networks.describe_networks(paths, wishes))
    except UnfreezeError:
        if len(wishes) == 1:
            return [None]
    half = len(wishes) // 2
    return [*_describe_those_left(paths, wishes[:half]), *_describe_those_left(paths, wishes[half:])]


def make_wish(paths: Paths, backbone: str, size: int, unfreeze: Unfreeze) -> Wish:
    """Return what is to be known of a backbone as its code stands.

    Args:
        paths: The checkout.
        backbone: Its name.
        size: Image side, pixels.
        unfreeze: The points.
    """
    return networks.wish(backbone, size, unfreeze, Source(paths.root).digest_backbone(backbone))


def _digest(path: Path) -> str:
    return _md5(path.read_bytes())


def _md5(content: bytes) -> str:
    """Return the digest by which DVC knows a file."""
    return hashlib.md5(content, usedforsecurity=False).hexdigest()
