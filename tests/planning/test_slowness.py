import compileall
import sys
from collections.abc import Mapping
from pathlib import Path

import great_expectations
import pytest

from unfreeze.planning.slowness import list_slowness
from unfreeze.runtime.processor_kind import ProcessorKind

FAST = ProcessorKind("A processor", ("avx2", "avx512f"))
OLD = ProcessorKind("An old processor", ())
NEW = ProcessorKind("A new processor", ("avx2", "avx512f"), has_vnni=True)


def said(
    kind: ProcessorKind = FAST,
    share: float = 2,
    environment: Mapping[str, str] | None = None,
    *,
    precision: str = "float32",
    on: str = "x86_64",
) -> str:
    return "\n".join(list_slowness(kind, share, environment or {}, precision=precision, architecture=on))


def test_nothing_is_said_of_a_machine_that_is_as_it_should_be() -> None:
    fit = {"TF_ENABLE_ONEDNN_OPTS": "1", "OMP_NUM_THREADS": "2", "TF_NUM_INTRAOP_THREADS": ""}
    assert said(environment=fit) == ""
    # Its processors have other instruction sets.
    assert said(OLD, on="aarch64") == ""


@pytest.mark.parametrize(
    ("share", "sentence"),
    [(0.5, "may use 0.5 of a processor"), (1, "may use one processor"), (1.5, "may use one processor")],
)
def test_a_small_share_of_the_processors_is_said(share: float, sentence: str) -> None:
    assert sentence in said(share=share)


def test_a_processor_without_avx2_is_named() -> None:
    assert "An old processor has no AVX2" in said(OLD)


def test_eight_bits_on_a_processor_without_instructions_for_them_are_said() -> None:
    assert "A processor has no VNNI" in said(precision="int8")
    assert said() == said(precision="bfloat16") == said(NEW, precision="int8") == ""
    assert said(OLD, precision="int8", on="aarch64") == ""


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("TF_ENABLE_ONEDNN_OPTS", "0"),
        ("TF_NUM_INTRAOP_THREADS", "1"),
        ("ONEDNN_MAX_CPU_ISA", "AVX2"),
        ("OMP_NUM_THREADS", "1"),
        ("OPENBLAS_NUM_THREADS", "1"),
    ],
)
def test_a_variable_that_slows_it_down_is_named_with_what_to_do(name: str, value: str) -> None:
    assert said(environment={name: value}).startswith(f"slow: {name}={value} is set")
    assert said(environment={name: value}).endswith(": unset it")


def test_libraries_that_are_compiled_for_each_stage_are_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "pycache_prefix", str(tmp_path))
    variable = {"PYTHONDONTWRITEBYTECODE": "1"}
    assert said(environment=variable).startswith("slow: PYTHONDONTWRITEBYTECODE=1 is set: each stage compiles")
    assert said(environment={"PYTHONDONTWRITEBYTECODE": ""}) == ""
    compileall.compile_file(great_expectations.__file__, quiet=1)
    assert said(environment=variable) == ""
