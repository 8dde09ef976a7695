"""Bring a backbone's weights into models/pretrained, with a record of where they come from."""

from dataclasses import dataclass
from pathlib import Path

from unfreeze import files
from unfreeze.models.table import find_row
from unfreeze.paths import Paths
from unfreeze.records.code import Source
from unfreeze.runtime import console
from unfreeze.settings.base import ByBackbone
from unfreeze.settings.sources import WeightsSource


@dataclass(frozen=True)
class Settings:
    """What the stage uses of params.yaml."""

    seed: int
    weights: ByBackbone[WeightsSource]


def run(settings: Settings, paths: Paths, backbone: str) -> None:
    """Load the weights into the backbone, so that wrong ones are found here, and store them as they are used."""
    console.import_tensorflow()
    from unfreeze.models import weights

    row = find_row(backbone)
    source = settings.weights.get(backbone)
    model = weights.load_pretrained(row, source, settings.seed)
    with files.atomic(paths.weights(backbone)) as partial:
        model.save_weights(partial)
        _mark_definition(partial, Source(paths.root).digest_backbone(backbone))
    record = {
        "source": weights.describe(row, source),
        "pretrained": row.builder is not None and source != "random",
        "parameters": int(model.count_params()),
        "sha256": files.hash_file(paths.weights(backbone)),
    }
    files.write_json(paths.weights_record(backbone), record)
    console.log.info("%s: %s, %d parameters", backbone, record["source"], record["parameters"])


def _mark_definition(weights: Path, digest: str | None) -> None:
    """Write the digest of a backbone's definition into its weights file, so that a change reruns all that read it."""
    if digest is not None:
        import h5py

        with h5py.File(weights, "r+") as stored:
            stored.attrs["definition"] = digest
