"""Running a command and seeing what it takes: wall time by line of output, and the largest process."""

import importlib.metadata
import json
import os
import platform
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unfreeze.runtime.processor_kind import find_processor_kind

# By these oneDNN (in TensorFlow), PyTorch and MKL leave out newer instructions, as on an older processor.
LIMITS = ("ONEDNN_MAX_CPU_ISA", "ATEN_CPU_CAPABILITY", "MKL_ENABLE_INSTRUCTIONS")
PACKAGES = ("tensorflow-cpu", "keras", "openvino", "opencv-python-headless", "h5py", "dvc", "mlflow")


@dataclass(frozen=True)
class Run:
    """What a command took.

    Args:
        seconds: Wall time, with every process start.
        processor_seconds: Processor time of all its processes.
        peak_mb: Resident memory of the largest of its processes, MB of 2^20 bytes; no less than what the process
            held that started it.
        lines: Each line of output with the second at which it came.
    """

    seconds: float
    processor_seconds: float
    peak_mb: float
    lines: list[tuple[float, str]]


def run(command: list[str], *, folder: Path, environment: dict[str, str] | None = None) -> Run:
    """Run a command to its end.

    Args:
        command: The program and its arguments.
        folder: Working folder.
        environment: Variables to add.

    Returns:
        What it took.

    Raises:
        RuntimeError: It failed; holds the end of its output.
    """
    # The first write of a command that waits for the disk would wait for what was written before it, too.
    os.sync()
    begun = time.monotonic()
    lines = []
    with subprocess.Popen(
        command,
        cwd=folder,
        # A stage refuses the code of another checkout than the one it runs in.
        env={**os.environ, "PYTHONPATH": str(folder / "src"), **(environment or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    ) as process:
        assert process.stdout is not None
        lines.extend((time.monotonic() - begun, line.rstrip()) for line in process.stdout)
        # The usage of a process counts those it has waited for.
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.monotonic() - begun
    if process.returncode:
        end = "\n".join(line for _, line in lines[-30:])
        raise RuntimeError(f"{' '.join(command)} failed with {process.returncode}:\n{end}")
    return Run(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, lines)


def read_result(taken: Run) -> dict[str, Any]:
    """Return the last line of output that is a JSON object."""
    result: dict[str, Any] = json.loads(next(line for _, line in reversed(taken.lines) if line.startswith("{")))
    return result


def machine() -> dict[str, str]:
    """Return what the figures depend on."""
    kind = find_processor_kind()
    limits = [f"{name}={os.environ[name]}" for name in LIMITS if name in os.environ]
    return {
        "processor": ", ".join([kind.name, f"{os.cpu_count()} cores", *kind.instruction_sets, *limits]),
        "system": f"{platform.system()}, Python {platform.python_version()}",
        "packages": ", ".join(f"{name} {importlib.metadata.version(name)}" for name in PACKAGES),
    }
