"""The memory of a process that trains one model after another."""

import ctypes
import gc
import resource
from contextlib import suppress
from pathlib import Path

from tensorflow.python.framework import ops


def free() -> None:
    """Give back what a training took, so that the hundredth needs no more than the first."""
    # Each function that is traced registers its custom gradients under new names, for good, and with them all of its
    # graph, tens of MB a training. They are asked for while a gradient is traced, and the next training traces anew.
    registered = ops.gradient_registry._registry
    for name in [name for name in registered if name.startswith("CustomGradient-")]:
        del registered[name]
    # Models refer to themselves.
    gc.collect()
    trim()


def trim() -> None:
    """Give what is free back to the system: the C library keeps it, for each thread apart."""
    # Of the GNU library; others have no such call.
    with suppress(AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


def reset_peak() -> None:
    """Let the peak begin anew: Linux forgets it when told 5 (proc(5)); a system that refuses keeps it."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def measure_peak() -> float:
    """Return the peak of this process' resident memory, MB of 2^20 bytes."""
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    kilobytes = (int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
    return next(kilobytes, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss) / 1024
