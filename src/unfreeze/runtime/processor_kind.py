"""The kind of processor, which decides how fast networks run and about their last bits."""

import platform
from dataclasses import dataclass
from pathlib import Path

CPUINFO = Path("/proc/cpuinfo")
# Instruction sets that change how fast networks run, and by which libraries choose other ways to compute.
INSTRUCTION_SETS = ("avx2", "avx512f", "avx512_bf16", "amx_bf16")


@dataclass(frozen=True)
class ProcessorKind:
    """A kind of processor.

    Args:
        name: As it calls itself.
        instruction_sets: Those of `INSTRUCTION_SETS` that it has.
    """

    name: str
    instruction_sets: tuple[str, ...]


def find_processor_kind() -> ProcessorKind:
    """Return the kind of this machine's processor."""
    lines = CPUINFO.read_text(encoding="utf-8").splitlines() if CPUINFO.exists() else []
    fields = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    flags = fields.get("flags", "").split()
    known = tuple(name for name in INSTRUCTION_SETS if name in flags)
    return ProcessorKind(fields.get("model name", platform.machine()), known)
