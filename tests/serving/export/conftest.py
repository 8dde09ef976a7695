from pathlib import Path

import pytest

from unfreeze import files
from unfreeze.records.exported_model import Exports
from unfreeze.serving.export import write
from unfreeze.serving.export.registry import find_formats
from unfreeze.serving.export.write import Source

FLOATS = ("openvino", "onnx", "litert", "saved_model")
FORMATS = (*FLOATS, "openvino-int8")


def make_source(packed: Path, *, max_drop: float = 0.5) -> Source:
    """Return what exports are made of, from a package of `pack_small`."""
    folder = packed.parents[1]
    return Source(
        package=packed,
        model=folder / f"{packed.name}.keras",
        images=folder / "images.h5",
        raw=folder / "raw",
        folds=files.read_csv(folder / "split.csv"),
        seed=0,
        max_drop=max_drop,
    )


@pytest.fixture(scope="session")
def exported(packed: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Exports]:
    """All formats of a network with random weights, and their table; read only."""
    out = tmp_path_factory.mktemp("exported")
    return out, write.export(make_source(packed), find_formats(",".join(FORMATS)), out)
