"""The memory of a process that trains one model after another."""

import ctypes
import gc
import resource
from contextlib import suppress
from pathlib import Path

from tensorflow.python.framework import ops


def free() -> None:
    """Free the memory of a finished training, so that the hundredth needs no more than the first."""
    # Each traced function registers its custom gradients under new names for the rest of the process, and with them
    # its whole graph, tens of MB a training. They are only needed while a gradient is traced.
    registered = ops.gradient_registry._registry
    for name in [name for name in registered if name.startswith("CustomGradient-")]:
        del registered[name]
    # Models hold cyclic references.
    gc.collect()
    trim()


def trim() -> None:
    """Return freed memory to the system: the C library keeps it, separately for each thread."""
    # Only the GNU library has this call.
    with suppress(AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


def reset_peak() -> None:
    """Reset the peak RSS (write 5 to /proc/self/clear_refs, proc(5)); ignored where not permitted."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def measure_peak() -> float:
    """Return the peak RSS of this process since the last reset, MB of 2^20 bytes."""
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    kilobytes = (int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
    return next(kilobytes, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss) / 1024
