"""The stage that packs a model."""

from tests.conftest import INSTALLED, Checkout
from unfreeze.tracking import models


def test_packing_loads_no_mlflow(edited: Checkout) -> None:
    packed = edited.paths.packed("from_scratch")
    before = models.hash_package(packed)
    # Python lists what each process imports.
    done = edited.try_run("unfreeze", "package", "from_scratch", PATH=INSTALLED, PYTHONPROFILEIMPORTTIME="1")
    assert done.returncode == 0, done.stderr
    assert " openvino\n" in done.stderr
    assert " mlflow\n" not in done.stderr
    assert models.hash_package(packed) == before
