"""Code of another checkout is refused wherever results are computed."""

import pytest

from tests.conftest import PROJECT, Checkout


@pytest.mark.parametrize("command", [("split",), ("promote",), ("ci", "retrain")])
def test_code_of_another_checkout_is_refused(checkout: Checkout, command: tuple[str, ...]) -> None:
    done = checkout.try_run("unfreeze", *command, PYTHONPATH=str(PROJECT / "src"))
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith(
        f"error: the code that runs is {PROJECT}/src/unfreeze, but DVC records {checkout.root}/src"
    )
