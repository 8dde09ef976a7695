"""Imports without the garbage collector, and modules that are loaded when they are first used."""

import gc
import importlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

from unfreeze.runtime.imports import pause_collector, postpone


def test_nothing_is_collected_meanwhile_and_all_is_again_afterwards() -> None:
    with pause_collector():
        assert not gc.isenabled()
    assert gc.isenabled()


def test_a_library_that_cannot_be_loaded_leaves_the_collector_on() -> None:
    with pytest.raises(ModuleNotFoundError), pause_collector():
        import no_such_library  # noqa: F401
    assert gc.isenabled()


def test_what_was_loaded_is_left_out_of_later_collections() -> None:
    gc.unfreeze()
    with pause_collector():
        loaded = [[number] for number in range(1000)]
    assert gc.get_freeze_count() >= len(loaded)
    gc.unfreeze()


def test_a_postponed_module_is_loaded_when_it_is_first_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "slow_of_test.py").write_text("VALUE = 3\n")
    (tmp_path / "library_of_test.py").write_text(
        "import slow_of_test\n\n\ndef use():\n    return slow_of_test.VALUE\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    with postpone("slow_of_test"):
        library = importlib.import_module("library_of_test")
    assert "slow_of_test" not in sys.modules
    assert library.use() == 3
    assert importlib.import_module("slow_of_test").VALUE == 3


def test_a_module_that_is_loaded_already_is_not_postponed() -> None:
    with postpone("json"):
        assert importlib.import_module("json") is json


def test_tensorflow_loads_without_the_libraries_of_its_plots() -> None:
    script = (
        "import sys\nfrom unfreeze.runtime import console\nconsole.import_tensorflow()\n"
        "print(sorted({'keras', 'matplotlib.pyplot', 'scipy.stats'} & set(sys.modules)))\n"
        # What was postponed is there for whoever wants it.
        "import keras\nprint(keras.wrappers.SKLearnClassifier(keras.Sequential()).get_params()['warm_start'])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-2:] == ["['keras']", "False"]
