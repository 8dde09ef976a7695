"""The kind of processor, which decides how fast networks run and about their last bits."""

import platform
from dataclasses import dataclass
from pathlib import Path

CPUINFO = Path("/proc/cpuinfo")
# Instruction sets that change how fast networks run, and by which libraries choose other ways to compute.
INSTRUCTION_SETS = ("avx2", "avx512f", "avx512_bf16", "amx_bf16")
# Those that multiply 8-bit numbers and add up the products without overflow; not among the others, for measurements
# are found by the names of those.
VNNI = ("avx512_vnni", "avx_vnni", "amx_int8")


@dataclass(frozen=True)
class ProcessorKind:
    """A kind of processor.

    Args:
        name: As it calls itself.
        instruction_sets: Those of `INSTRUCTION_SETS` that it has.
        has_vnni: Whether it has one of `VNNI`.
    """

    name: str
    instruction_sets: tuple[str, ...]
    has_vnni: bool = False


def find_processor_kind() -> ProcessorKind:
    """Return the kind of this machine's processor."""
    lines = CPUINFO.read_text(encoding="utf-8").splitlines() if CPUINFO.exists() else []
    fields = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    flags = fields.get("flags", "").split()
    known = tuple(name for name in INSTRUCTION_SETS if name in flags)
    has_vnni = any(name in flags for name in VNNI)
    return ProcessorKind(fields.get("model name", platform.machine()), known, has_vnni)
