"""A packed network with random weights, logged in a store as a study's models are."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from tests.tracking.empty_store import put_empty_store
from unfreeze import files
from unfreeze.paths import Paths
from unfreeze.records.training import Training
from unfreeze.serving.classifier import read_model
from unfreeze.tracking import keys, models
from unfreeze.tracking.registry import Registry, Version
from unfreeze.tracking.runs import Runs
from unfreeze.tracking.server import Server

BACKBONE = "from_scratch"
MODEL = "unfreeze"


@dataclass(frozen=True)
class Logged:
    """A checkout with one packed model, and its store.

    Args:
        paths: Its files.
        backbone: The model's backbone.
    """

    paths: Paths
    backbone: str = BACKBONE

    @property
    def registry(self) -> Registry:
        """The registry as any process sees it."""
        return Registry(Server(self.paths, "unfreeze"), MODEL)

    @property
    def package(self) -> Path:
        return self.paths.packed(self.backbone)

    def change_threshold(self, lowest: float) -> None:
        """Make another package of the same network."""
        described = files.read_json(self.package / "model.json")
        described["unsure"]["lowest"] = lowest
        files.write_json(self.package / "model.json", described)

    def log(self) -> tuple[str, str]:
        """Log the model as a stage does, and return the ids of its run and of the model."""
        server = Server(self.paths, "unfreeze")
        content = models.hash_package(self.package)
        run = Runs(server, "made").run(content, self.backbone, keys.BACKBONE, None, {})
        return run.id, models.log(server, run, self.paths, self.backbone)

    def register(self) -> Version:
        """Log and register the model."""
        tags = {
            keys.MODEL_SHA256: files.hash_file(self.paths.model(self.backbone)),
            keys.DATA_SHA256: "d1",
            keys.OF_BACKBONE: self.backbone,
            keys.PACKAGE_SHA256: models.hash_package(self.package),
            **models.list_tags(read_model(self.package)),
        }
        return self.registry.register(*self.log(), tags)


def make_checkout(root: Path, packed: Path) -> Logged:
    """Make a checkout with a copy of a packed model and an empty store.

    Args:
        root: Its folder.
        packed: The package, as `pack_small` makes it.
    """
    paths, backbone = Paths(root), packed.name
    shutil.copytree(packed, paths.packed(backbone))
    shutil.copyfile(packed.parents[1] / f"{backbone}.keras", paths.model(backbone))
    Training(
        chosen_by="params",
        unfreeze_from="none",
        learning_rate=0.001,
        epochs=1,
        fine_tuning_improved=False,
        trainable_parameters=1,
        head_parameters=1,
        val_loss=1.0,
        temperature=1.0,
        model_sha256=files.hash_file(paths.model(backbone)),
    ).write(paths.training(backbone))
    put_empty_store(root / "mlflow.db")
    return Logged(paths, backbone)
