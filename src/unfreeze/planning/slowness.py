"""What makes a study slow on this machine: it is obeyed, and said before the study begins."""

import platform
from collections.abc import Iterator, Mapping
from importlib.util import cache_from_source, find_spec
from pathlib import Path

from unfreeze.runtime.processor_kind import ProcessorKind

X86 = ("x86_64", "AMD64")
# Read by TensorFlow or by oneDNN, in it and in OpenVINO; none of them is needed.
LIMITS = ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA")
# Read by the linear algebra below NumPy and scikit-learn.
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def list_slowness(
    kind: ProcessorKind,
    share: float,
    environment: Mapping[str, str],
    *,
    precision: str = "float32",
    architecture: str | None = None,
) -> tuple[str, ...]:
    """Return a sentence for each reason why networks run slower here than they need to.

    Args:
        kind: The kind of processor.
        share: How many processors this process has a share of.
        environment: The environment's variables.
        precision: Arithmetic of the frozen layers.
        architecture: As `platform.machine` names it; this machine's by default.
    """
    architecture = architecture or platform.machine()
    return (
        *_list_of_machine(kind, share, architecture),
        *_list_of_precision(kind, precision, architecture),
        *_list_of_environment(share, environment),
    )


def _list_of_machine(kind: ProcessorKind, share: float, architecture: str) -> Iterator[str]:
    if architecture in X86 and "avx2" not in kind.instruction_sets:
        yield (
            f"slow: {kind.name} has no AVX2: networks take several times as long as README says; another processor "
            "is the only remedy"
        )
    if share < 1:
        yield f"slow: this process may use {share:g} of a processor: raise the quota of its container or job"
    elif share < 2:
        yield (
            "slow: this process may use one processor; README's times are of two: raise the quota of its container "
            "or job, or what it is bound to"
        )


def _list_of_precision(kind: ProcessorKind, precision: str, architecture: str) -> Iterator[str]:
    if precision == "int8" and architecture in X86 and not kind.has_vnni:
        yield (
            f"slow: {kind.name} has no VNNI (avx512_vnni, avx_vnni): extract.precision=int8 takes half as long again "
            "there and is half as far again from float32: set extract.precision=float32 if that matters"
        )


def _list_of_environment(share: float, environment: Mapping[str, str]) -> Iterator[str]:
    if environment.get("TF_ENABLE_ONEDNN_OPTS", "1") == "0":
        yield (
            "slow: TF_ENABLE_ONEDNN_OPTS=0 is set: TensorFlow trains without oneDNN, on one core for the most part: "
            "unset it"
        )
    if (value := environment.get("PYTHONDONTWRITEBYTECODE")) and not _is_compiled("great_expectations"):
        yield (
            f"slow: PYTHONDONTWRITEBYTECODE={value} is set: each stage compiles the libraries that it loads anew, "
            "up to 10 s: unset it, as `make repro` does"
        )
    for name in LIMITS:
        if value := environment.get(name):
            yield f"slow: {name}={value} is set, which limits how networks are computed: unset it"
    for name in THREADS:
        value = environment.get(name, "")
        if value.isdigit() and int(value) < share:
            yield (
                f"slow: {name}={value} is set: checks and probes use so many threads; networks do not read it: "
                "unset it"
            )


def _is_compiled(package: str) -> bool:
    """Tell whether Python's bytecode of an installed package is kept."""
    found = find_spec(package)
    return found is not None and found.origin is not None and Path(cache_from_source(found.origin)).exists()
