"""What is measured: each backbone, unfrozen from its default point and as a whole, in each precision."""

import os
from collections.abc import Sequence
from dataclasses import replace

from benchmarks import measure
from benchmarks.inputs import Case, Inputs
from unfreeze.runtime.processor_kind import ProcessorKind
from unfreeze.settings.base import Precision

# By point, the least that the faster peer's time may be of this pipeline's.
TARGETS = {"auto": 2.0, "all": 1.2}
BFLOAT16 = ("avx512_bf16", "amx_bf16")


def list_variants(given: Inputs, precisions: Sequence[Precision]) -> list[Case]:
    """Return all variants of all backbones, ResNet50 with random weights among them.

    Args:
        given: Holds the backbones whose ImageNet weights are at hand.
        precisions: What is computed in.
    """
    backbones = [*reversed(given.pretrained), Case("resnet50", "ResNet50", "auto", None, "float32", 0)]
    return [
        replace(case, point=point, precision=precision, floor=target)
        for case in backbones
        for point, target in TARGETS.items()
        for precision in precisions
    ]


def list_precisions(processor: ProcessorKind) -> tuple[Precision, ...]:
    """Return what a processor computes in at full speed; float32 alone where its instructions are limited."""
    is_limited = any(name in os.environ for name in measure.LIMITS)
    if not is_limited and any(name in processor.instruction_sets for name in BFLOAT16):
        return ("float32", "bfloat16")
    return ("float32",)


def title(case: Case) -> str:
    """Return a name that tells variants apart, such as `xception all float32`."""
    return f"{case.name} {case.point} {case.precision}"
