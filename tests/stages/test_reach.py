"""The digest of a stage's code covers every function that the stage is seen to call."""

import importlib
import inspect
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import pytest
import yaml

from tests.conftest import PROJECT, Checkout, checkout_with_images
from tests.trackers import NoTracker
from unfreeze.cli.stages import run_stage
from unfreeze.cluster.launch import make_cluster
from unfreeze.records.code import WITHOUT_EFFECT, Key, Source
from unfreeze.report.write import write_reports
from unfreeze.settings.params import Params, load
from unfreeze.settings.stage_settings import select

CODE = PROJECT / "src"


def key_of(code: CodeType) -> Key | None:
    """Return the top-level definition that a function belongs to; None for other code and for class bodies."""
    path = Path(code.co_filename)
    if path.suffix != ".py" or not path.is_relative_to(CODE) or not code.co_flags & inspect.CO_OPTIMIZED:
        return None
    name = code.co_qualname.split(".")[0]
    # A lambda or a comprehension of the module itself.
    return ".".join(path.relative_to(CODE).with_suffix("").parts), "" if name.startswith("<") else name


def is_importing(frame: FrameType | None) -> bool:
    """Tell whether a call comes from a module that is being imported."""
    while frame is not None:
        if frame.f_code.co_name == "<module>" and Path(frame.f_code.co_filename).is_relative_to(CODE):
            return True
        frame = frame.f_back
    return False


@contextmanager
def calls_seen() -> Iterator[set[Key]]:
    """Collect the definitions of the package whose functions are called, in all threads of this process."""
    seen: set[Key] = set()
    known: set[CodeType] = set()

    def note(frame: FrameType, event: str, _: Any) -> None:
        if event == "call" and frame.f_code not in known:
            key = key_of(frame.f_code)
            if key is None or not is_importing(frame):
                known.add(frame.f_code)
                seen.update({key} if key else ())

    threading.setprofile(note)
    sys.setprofile(note)
    try:
        yield seen
    finally:
        sys.setprofile(None)
        threading.setprofile(None)


def run(checkout: Checkout, name: str, backbone: str) -> set[Key]:
    """Run a stage in this process; return what it called."""
    stage = importlib.import_module(f"unfreeze.stages.{name}")
    params = load(checkout.paths.params)
    possible: dict[str, Any] = {
        "settings": params if stage.Settings is Params else select(params, stage.Settings),
        "paths": checkout.paths,
        "backbone": backbone,
        "tracker": NoTracker(),
        "cluster": make_cluster(params.cluster, checkout.paths),
        "write_reports": write_reports,
    }
    function: Callable[..., None] = stage.run
    with calls_seen() as seen:
        function(**{name: possible[name] for name in inspect.signature(function).parameters})
    return seen


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[Key]]:
    """Run a small study, stage by stage."""
    made = checkout_with_images(
        tmp_path_factory.mktemp("reach"), 24,
        "study.backbones=[mobilenetv2]", "study.seeds=[1]", "+weights.mobilenetv2=random",
        "unfreeze.candidates.default=[none,{blocks: 1}]", "augment.views=2", "evaluate.corruption_images=4",
    )  # fmt: skip
    stages = yaml.safe_load(made.paths.pipeline.read_text())["stages"]
    # Other stages read what it writes.
    run_stage("code", None, made.paths)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(made.root)
        return {name: run(made, name, "mobilenetv2") for name in stages if name != "code"}


@pytest.mark.parametrize("stage", Source(PROJECT).stages)
def test_every_function_that_a_stage_calls_is_in_its_digest(seen: dict[str, set[Key]], stage: str) -> None:
    # A handler that an earlier test has set up in this process prepares log lines; a sentence is for the log alone.
    of_log = {("unfreeze.runtime.programs", "spell_out_commands"), ("unfreeze.features.choice", "explain")}
    # The command line hands in who computes rows; that the bytes are the same is tested with the stages.
    who = "unfreeze.cluster."
    # What the processes that it starts are called with decides no byte either.
    of_processes = ("unfreeze.runtime.background", "without_interrupts")
    seen_here = {key for key in seen[stage] if key[0] not in WITHOUT_EFFECT and not key[0].startswith(who)}
    called = seen_here - of_log - {of_processes}
    assert len(called) > 2
    assert called - Source(PROJECT).reach(stage)[0] == set()
