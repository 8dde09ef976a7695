"""Imports without the garbage collector: it is back afterwards, and looks no more at what was loaded."""

import gc

import pytest

from unfreeze.runtime.imports import pause_collector


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
