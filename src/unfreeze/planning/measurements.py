"""What stages took on this machine: written by the command that runs a stage, read by the plan."""

import os
import resource
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
from pydantic import ValidationError

from unfreeze import files
from unfreeze.paths import Paths
from unfreeze.planning.machine import name_machine
from unfreeze.records.record import Record
from unfreeze.settings.params import Params

# Enough for ten studies of six backbones; older ones tell of older code.
MOST_KEPT = 500
# Sections of params.yaml that decide how much a stage has to do.
SECTIONS = (
    "data", "preprocess", "split", "augment", "extract", "unfreeze", "head", "train", "search", "serve", "evaluate",
    "study",
)  # fmt: skip
# Stages that read the images as they came: how many bytes these have decides how long they take.
READS_RAW = ("download", "check", "preprocess")


class Measurement(Record):
    """One run of a stage.

    Args:
        stage: Name of the stage.
        backbone: The backbone, for a stage that runs once a backbone.
        machine: From `name_machine`.
        begun: Start of its process, seconds since 1970.
        seconds: From the start of its process to its end.
        start_seconds: From the start of its process until its own work began; 0 in older measurements.
        processor_seconds: Processor time of its process and of those that it waited for; 0 in older measurements.
        peak_mb: Most memory of its process, and of the largest it started, MB of 2^20 bytes.
        images: Number of images of the study; None before they are here.
        raw_bytes: Size of the images as they came; None where the stage does not read them.
        backbones: Number of backbones of the study.
        seeds: Number of further seeds.
        settings: The sections of params.yaml that decide how much there is to do; empty for a stage without settings.
    """

    stage: str
    backbone: str | None
    machine: str
    begun: float
    seconds: float
    start_seconds: float = 0.0
    processor_seconds: float = 0.0
    peak_mb: float
    images: int | None
    raw_bytes: int | None
    backbones: int
    seeds: int
    settings: dict[str, Any]


@contextmanager
def measure_stage(
    paths: Paths, stage: str, backbone: str | None, params: Params | None
) -> Iterator[Callable[[], None]]:
    """Measure a stage that fills the life of this process, and keep what it took.

    Nothing is kept of a stage that failed, and of one that goes on where a killed one had stopped: it took less
    than all of it. Where the file cannot be written the stage is not disturbed.

    Args:
        paths: The checkout.
        stage: Name of the stage.
        backbone: The backbone, for a stage that runs once a backbone.
        params: All of params.yaml; None for a stage without settings.

    Yields:
        What is called when the stage's own work begins.
    """
    resumed = _is_begun(paths, stage, backbone)
    process = psutil.Process()
    starts: list[float] = []
    yield lambda: starts.append(time.time() - process.create_time())
    if resumed:
        return
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    values = params.model_dump(mode="json") if params else {}
    measured = Measurement(
        stage=stage,
        backbone=backbone,
        machine=name_machine(),
        begun=process.create_time(),
        seconds=time.time() - process.create_time(),
        start_seconds=starts[0] if starts else 0.0,
        processor_seconds=sum(usage.ru_utime + usage.ru_stime for usage in used),
        # Linux counts kilobytes.
        peak_mb=sum(usage.ru_maxrss for usage in used) / 1024,
        images=_count_images(paths),
        raw_bytes=_measure_raw(paths) if stage in READS_RAW else None,
        backbones=len(params.study.backbones) if params else 0,
        seeds=len(params.study.seeds) if params else 0,
        settings={name: value for name, value in values.items() if name in SECTIONS},
    )
    with suppress(OSError):
        keep(paths.measurements, measured)


def keep(path: Path, measured: Measurement) -> None:
    """Add a measurement to a file, and drop the oldest ones of a long file.

    Args:
        path: The file. Where there is no `.dvc` nothing is kept: a folder of that name would be DVC's.
        measured: What is added.

    Raises:
        OSError: The file cannot be written.
    """
    if not is_kept(path):
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    # One write at the end of the file, so that stages that run at the same time do not mix their lines.
    with path.open("a", encoding="utf-8") as stream:
        stream.write(measured.model_dump_json() + "\n")
    lines = path.read_text(encoding="utf-8").splitlines()
    if len(lines) > 2 * MOST_KEPT:
        files.write_text(path, "\n".join(lines[-MOST_KEPT:]) + "\n")


def read(path: Path) -> list[Measurement]:
    """Return what was measured, oldest first; lines of another version, or cut short, count as not there."""
    found: list[Measurement] = []
    # A file that cannot be read tells nothing either.
    with suppress(OSError):
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            with suppress(ValidationError):
                found.append(Measurement.model_validate_json(line))
    return found


def is_kept(path: Path) -> bool:
    """Tell whether what plans keep on this machine has a place.

    Args:
        path: A file or folder below `.dvc`.
    """
    return any(parent.name == ".dvc" and parent.is_dir() for parent in path.parents)


def _is_begun(paths: Paths, stage: str, backbone: str | None) -> bool:
    """Tell whether a killed run has left a part of the stage's work."""
    if backbone is None:
        return False
    left = {
        "extract": files.name_partial(paths.features(backbone)),
        "search": paths.search_folder(backbone),
        "finetune": paths.finished_repeats(backbone),
    }
    return stage in left and left[stage].exists()


def _count_images(paths: Paths) -> int | None:
    """Return the number of images that were brought here; None before that."""
    if not paths.raw_index.exists():
        return None
    with paths.raw_index.open("rb") as stream:
        # The first line holds the names of columns.
        return max(sum(1 for _ in stream) - 1, 0)


def _measure_raw(paths: Paths) -> int | None:
    """Return the bytes of all images as they came; None before that."""
    if not paths.raw.exists():
        return None
    if paths.in_place.exists():
        return int(files.read_json(paths.download_record)["bytes"])
    return sum((Path(place) / name).stat().st_size for place, _, names in os.walk(paths.raw) for name in names)
