"""A backbone's model as MLflow keeps models: with signature, example, requirements, and the bytes that DVC holds."""

import functools
import shutil
import tempfile
from pathlib import Path
from typing import Any

from unfreeze.images import store
from unfreeze.paths import Paths
from unfreeze.records.training import Training
from unfreeze.runtime import console
from unfreeze.runtime.imports import pause_collector
from unfreeze.tracking import keys
from unfreeze.tracking.runs import Run
from unfreeze.tracking.server import Server

# Where MLflow's saved Keras models have theirs.
FILE = "data/model.keras"
# MLflow ends a tag at 8,000.
MOST_LETTERS = 4000
# Results of the training that the model's page shows.
SHOWN = ("unfreeze_from", "learning_rate", "trainable_parameters", "model_sha256")


@functools.cache
def load_library() -> None:
    """Import TensorFlow and what MLflow needs to keep its models, which takes seconds."""
    console.import_tensorflow()
    with pause_collector():
        import mlflow.tensorflow  # noqa: F401


def log(server: Server, run: Run, paths: Paths, backbone: str) -> str:
    """Log a backbone's model as the output of its run; what an earlier attempt began is completed.

    Args:
        server: The store.
        run: The backbone's run.
        paths: Where the model and the images lie.
        backbone: The backbone.

    Returns:
        The logged model's id.
    """
    from mlflow.entities import LoggedModelOutput, LoggedModelStatus

    client = server.client
    known = list(client.search_logged_models([server.experiment_id], f"source_run_id = '{run.id}'"))
    whole = next((model.model_id for model in known if model.status == "READY"), None)
    if whole is None:
        model = known[0] if known else _create(server, run, paths, backbone)
        with tempfile.TemporaryDirectory(prefix="unfreeze-") as folder:
            saved = Path(folder) / "model"
            _save(saved, paths, backbone, model, run)
            client.log_model_artifacts(model.model_id, str(saved))
        client.finalize_logged_model(model.model_id, LoggedModelStatus.READY)
        whole = str(model.model_id)
    outputs = client.get_run(run.id).outputs
    if whole not in {output.model_id for output in (outputs.model_outputs if outputs else [])}:
        client.log_outputs(run.id, [LoggedModelOutput(whole, step=0)])
    return whole


def _create(server: Server, run: Run, paths: Paths, backbone: str) -> Any:
    training, images = Training.read(paths.training(backbone)), store.describe(paths.images)
    note = (
        f"Takes RGB images, uint8 of shape (n, {images.size}, {images.size}, 3), and gives the probabilities of "
        f"{', '.join(images.classes)}. Signature, input example and requirements are under *Artifacts*."
    )
    return server.client.create_logged_model(
        server.experiment_id,
        backbone,
        run.id,
        tags={keys.NOTE: note[:MOST_LETTERS]},
        params={name: str(getattr(training, name)) for name in SHOWN},
    )


def _save(folder: Path, paths: Paths, backbone: str, logged: Any, run: Run) -> None:
    load_library()
    import keras
    import mlflow.tensorflow
    import numpy as np
    import tensorflow as tf
    from mlflow.models import Model, ModelSignature
    from mlflow.types import Schema, TensorSpec

    example = next(store.read_batches(paths.images, [0], 1))
    classes = len(store.describe(paths.images).classes)
    # MLflow writes its files around a model's; it looks at nothing in the model, which takes seconds to load.
    pixels = keras.Input(example.shape[1:], dtype="uint8")
    stand_in = keras.Model(pixels, pixels)
    signature = ModelSignature(
        inputs=Schema([TensorSpec(np.dtype("uint8"), (-1, *example.shape[1:]))]),
        outputs=Schema([TensorSpec(np.dtype("float32"), (-1, classes))]),
    )
    # MLflow's own log_model loads what it has saved again and tries it, through a default store for the whole
    # process; evaluation tries the model on far more than one image.
    mlflow.tensorflow.save_model(
        stand_in,
        str(folder),
        mlflow_model=Model(
            artifact_path=logged.artifact_location,
            model_uuid=logged.model_id,
            run_id=run.id,
            model_id=logged.model_id,
        ),
        signature=signature,
        input_example=example,
        # Inferring them takes many seconds and names TensorFlow twice.
        pip_requirements=[f"keras=={keras.__version__}", f"tensorflow=={tf.__version__}"],
    )
    # Keras writes the time into what it saves; the file that was scored is the one to keep.
    shutil.copyfile(paths.model(backbone), folder / FILE)
