"""A packed network with random weights, logged in a store as a study's models are."""

from dataclasses import dataclass
from pathlib import Path

from tests.serving.packed import pack_small
from tests.tracking.empty_store import put_empty_store
from unfreeze import files
from unfreeze.paths import Paths
from unfreeze.records.training import Training
from unfreeze.tracking import keys, models
from unfreeze.tracking.registry import Registry, Version
from unfreeze.tracking.runs import Runs
from unfreeze.tracking.server import Server

BACKBONE = "from_scratch"
MODEL = "unfreeze"


@dataclass(frozen=True)
class Logged:
    """A checkout with one model.

    Args:
        paths: Its files; photographs of the classes are in `raw`.
    """

    paths: Paths

    @property
    def registry(self) -> Registry:
        """The registry as any process sees it."""
        return Registry(Server(self.paths, "unfreeze"), MODEL)

    @property
    def package(self) -> Path:
        return self.paths.packed(BACKBONE)

    def log(self) -> str:
        """Log the model as a stage does, and return the folder's address."""
        server = Server(self.paths, "unfreeze")
        run = Runs(server, "made").run(files.hash_file(self.paths.model(BACKBONE)), BACKBONE, keys.BACKBONE, None, {})
        model = models.log(server, run, self.paths, BACKBONE)
        return str(server.client.get_logged_model(model).artifact_location)

    def register(self) -> Version:
        """Log and register the model."""
        server = Server(self.paths, "unfreeze")
        run = Runs(server, "made").run(files.hash_file(self.paths.model(BACKBONE)), BACKBONE, keys.BACKBONE, None, {})
        model = models.log(server, run, self.paths, BACKBONE)
        tags = {
            keys.MODEL_SHA256: files.hash_file(self.paths.model(BACKBONE)),
            keys.DATA_SHA256: "d1",
            keys.OF_BACKBONE: BACKBONE,
            keys.PACKAGE_SHA256: models.hash_package(self.package),
        }
        return self.registry.register(run.id, model, tags)


def make_checkout(root: Path, *, seed: int = 0) -> Logged:
    """Make a checkout with a packed model and an empty store."""
    paths = Paths(root)
    scratch = root / "scratch"
    package = pack_small(scratch, seed=seed)
    put(paths, package, scratch / f"{BACKBONE}.keras")
    (scratch / "raw").rename(root / "raw")
    put_empty_store(root / "mlflow.db")
    return Logged(paths)


def put(paths: Paths, package: Path, model: Path) -> None:
    """Put a package, its `.keras` file and a record of its training into a checkout."""
    files.remove(paths.packed(BACKBONE))
    paths.packed(BACKBONE).parent.mkdir(parents=True, exist_ok=True)
    package.rename(paths.packed(BACKBONE))
    model.rename(paths.model(BACKBONE))
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
        model_sha256=files.hash_file(paths.model(BACKBONE)),
    ).write(paths.training(BACKBONE))
