"""A backbone's model as MLflow keeps models: the bytes that DVC holds, and the package.

Its flavours: `keras` is the `.keras` file, from pixels to probabilities; `python_function` is the package, from
image files to class names (`pyfunc.py`).
"""

import base64
import contextlib
import functools
import json
import shutil
import tempfile
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from unfreeze import files
from unfreeze.errors import UnfreezeError
from unfreeze.paths import Paths
from unfreeze.records.packed_model import PackedModel
from unfreeze.records.training import Training
from unfreeze.runtime.imports import pause_collector
from unfreeze.serving.classifier import read_model
from unfreeze.tracking import keys, pyfunc, shipped_code
from unfreeze.tracking.pyfunc import PACKED
from unfreeze.tracking.runs import Run
from unfreeze.tracking.server import Server

# Where MLflow's saved Keras models have theirs.
FILE = "data/model.keras"
# Where a model that was logged as an exported format has the exported folder, unless its package holds that network.
EXPORTED = "exported"
# Tags of a logged model that only exported formats have.
OF_VARIANTS = (keys.FORMAT, keys.PACKAGE_SHA256, keys.EXPORT_SHA256)
# MLflow ends a tag at 8,000.
MOST_LETTERS = 4000
# Results of the training that the model's page shows.
SHOWN = ("unfreeze_from", "learning_rate", "trainable_parameters", "model_sha256")
# All that the python_function imports; TensorFlow is not among it.
REQUIREMENTS = (
    "mlflow",
    "numpy",
    "opencv-python-headless",
    "openvino",
    "pandas",
    "pillow",
    "pydantic",
    "pyyaml",
    "simplejpeg",
)
# Read where it is installed.
OPTIONAL = "pillow-heif"


@dataclass(frozen=True)
class Variant:
    """A backbone's model as one of its exported formats.

    Args:
        format: Name of the format.
        package: The package that services get with it.
        exported: The exported folder; None where the package's network is the exported one.
    """

    format: str
    package: Path
    exported: Path | None

    def list_tags(self) -> dict[str, str]:
        """Return what tells it from other models of the same run."""
        tags = {keys.FORMAT: self.format, keys.PACKAGE_SHA256: hash_package(self.package)}
        return tags | ({keys.EXPORT_SHA256: hash_package(self.exported)} if self.exported else {})


@functools.cache
def load_library() -> None:
    """Import what MLflow needs to keep models, which takes seconds."""
    with pause_collector():
        import mlflow.pyfunc  # noqa: F401


def log(server: Server, run: Run, paths: Paths, backbone: str, variant: Variant | None = None) -> str:
    """Log a backbone's model as the output of its run; what an earlier attempt began is completed.

    Args:
        server: The store.
        run: The backbone's run.
        paths: Where the model, its package and the images lie.
        backbone: The backbone.
        variant: An exported format that is logged beside the model itself; None for the model.

    Returns:
        The logged model's id.

    Raises:
        UnfreezeError: The package is of another model, or damaged.
    """
    from mlflow.entities import LoggedModelOutput, LoggedModelStatus

    client = server.client
    wanted = variant.list_tags() if variant else {}
    known = [
        model
        for model in client.search_logged_models([server.experiment_id], f"source_run_id = '{run.id}'")
        if all(model.tags.get(name) == wanted.get(name) for name in OF_VARIANTS)
    ]
    whole = next((model.model_id for model in known if model.status == "READY"), None)
    if whole is None:
        package = variant.package if variant else paths.packed(backbone)
        packed = read_model(package) if variant else read_package(paths, backbone)
        model = known[0] if known else _create(server, run, paths, packed, variant)
        with tempfile.TemporaryDirectory(prefix="unfreeze-") as folder:
            saved = Path(folder) / "model"
            _save(saved, paths, package, model, run)
            if variant and variant.exported:
                shutil.copytree(variant.exported, saved / EXPORTED)
            client.log_model_artifacts(model.model_id, str(saved))
        client.finalize_logged_model(model.model_id, LoggedModelStatus.READY)
        whole = str(model.model_id)
    outputs = client.get_run(run.id).outputs
    if whole not in {output.model_id for output in (outputs.model_outputs if outputs else [])}:
        client.log_outputs(run.id, [LoggedModelOutput(whole, step=0)])
    return whole


def read_package(paths: Paths, backbone: str) -> PackedModel:
    """Read what a backbone's package says of itself.

    Args:
        paths: The checkout.
        backbone: The backbone.

    Raises:
        FileNotFoundError: There is no package yet.
        UnfreezeError: It is of another model than the `.keras` file, or damaged.
    """
    folder = paths.packed(backbone)
    if not folder.exists():
        raise FileNotFoundError(2, "missing", str(folder))
    packed = read_model(folder)
    if packed.model_sha256 != files.hash_file(paths.model(backbone)):
        raise UnfreezeError(
            f"{folder.relative_to(paths.root)} was packed from another model than "
            f"{paths.model(backbone).relative_to(paths.root)}: run `dvc repro`"
        )
    return packed


def hash_package(folder: Path) -> str:
    """Return a digest of all files of a package.

    Args:
        folder: The package.
    """
    return files.digest(
        {path.relative_to(folder).as_posix(): files.hash_file(path) for path in folder.rglob("*") if path.is_file()}
    )


def describe(packed: PackedModel) -> str:
    """Return a package in Markdown, for MLflow's pages.

    Args:
        packed: What it says of itself.
    """
    classes, size = ", ".join(packed.classes), packed.size
    doubt = f"below {packed.unsure.lowest:.3f}" if packed.unsure.lowest <= 1 else "always"
    said = ", ".join(f"{name} {share:.1%}" for name, share in list_example(packed))
    return (
        f"`mlflow.pyfunc.load_model` takes image files (column `{pyfunc.IMAGE}`, bytes or base64) or RGB pixels "
        f"0..255 of shape (n, {size}, {size}, 3), and gives the class with calibrated probabilities of {classes}. "
        f"`mlflow.keras.load_model` gives the network alone, from uint8 pixels to probabilities.\n\n"
        f"Temperature {packed.temperature:.3f} (in the network already). Not accepted: `unsure` {doubt}; "
        f"`unlike training` beyond a cosine distance of {packed.unlike.cosine:.3f} "
        f"or a Euclidean one of {packed.unlike.euclidean:.3f}. "
        f"`{PACKED}/{packed.example.file}`: {said}."
    )[:MOST_LETTERS]


def list_tags(packed: PackedModel) -> dict[str, str]:
    """Return a package as tags of a version.

    Args:
        packed: What it says of itself.
    """
    return {
        keys.TEMPERATURE: f"{packed.temperature:.6g}",
        keys.UNSURE_BELOW: f"{packed.unsure.lowest:.6g}",
        keys.UNLIKE_BEYOND: f"cosine {packed.unlike.cosine:.6g}, Euclidean {packed.unlike.euclidean:.6g}",
        keys.EXAMPLE: json.dumps({name: float(f"{share:.6g}") for name, share in list_example(packed)}),
    }


def list_example(packed: PackedModel, most: int = 5) -> list[tuple[str, float]]:
    """Return the likeliest classes of a package's example with their probabilities.

    Args:
        packed: What the package says of itself.
        most: How many.
    """
    said = zip(packed.classes, packed.example.probabilities, strict=True)
    return sorted(said, key=lambda one: -one[1])[:most]


def _create(server: Server, run: Run, paths: Paths, packed: PackedModel, variant: Variant | None) -> Any:
    training = Training.read(paths.training(packed.backbone))
    tags, name, note = {}, packed.backbone, describe(packed)
    if variant:
        tags, name = variant.list_tags(), f"{packed.backbone}-{variant.format}"
        where = EXPORTED if variant.exported else PACKED
        note = f"Judged as the exported format `{variant.format}`, which is in `{where}`. {note}"[:MOST_LETTERS]
    return server.client.create_logged_model(
        server.experiment_id,
        name,
        run.id,
        tags={keys.NOTE: note, **tags},
        params={name: str(getattr(training, name)) for name in SHOWN},
    )


def _save(folder: Path, paths: Paths, package: Path, logged: Any, run: Run) -> None:
    load_library()
    packed = read_model(package)
    import mlflow.pyfunc
    import pandas as pd
    from mlflow.models import Model

    model = Model(
        artifact_path=logged.artifact_location,
        model_uuid=logged.model_id,
        run_id=run.id,
        model_id=logged.model_id,
    )
    example = base64.b64encode((package / packed.example.file).read_bytes()).decode()
    with tempfile.TemporaryDirectory(prefix="unfreeze-") as scratch:
        module = shipped_code.write_copy(pyfunc.__name__, Path(scratch))
        # MLflow's own log_model loads what it has saved again and tries it, through a default store for the whole
        # process; evaluation tries the model on far more than one image.
        mlflow.pyfunc.save_model(
            str(folder),
            loader_module=module,
            code_paths=[str(Path(scratch) / module.partition(".")[0])],
            mlflow_model=model,
            signature=_make_signature(packed),
            input_example=pd.DataFrame({pyfunc.IMAGE: [example]}),
            # Inferring them takes many seconds.
            pip_requirements=_list_requirements(),
        )
    shutil.copytree(package, folder / PACKED)
    (folder / FILE).parent.mkdir()
    # Keras writes the time into what it saves; the file that was scored is the one to keep.
    shutil.copyfile(paths.model(packed.backbone), folder / FILE)
    # What both of MLflow's modules that load Keras models look for; their own functions would import TensorFlow.
    model.add_flavor(
        "keras",
        data=str(Path(FILE).parent),
        keras_version=version("keras"),
        keras_backend="tensorflow",
        save_exported_model=False,
        model_type="keras",
        keras_module="keras",
        save_format="keras",
    )
    model.model_size_bytes = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    model.save(str(folder / "MLmodel"))


def _make_signature(packed: PackedModel) -> Any:
    import numpy as np
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, Schema, TensorSpec

    # MLflow lets arrays of any shape through for this type alone: texts, bytes and pixels are all welcome.
    images = TensorSpec(np.dtype("object"), (-1,), pyfunc.IMAGE)
    columns = [
        ColSpec("string", pyfunc.PREDICTED),
        *(ColSpec("double", f"{pyfunc.PROBABILITY}{name}") for name in packed.classes),
        ColSpec("boolean", pyfunc.ACCEPTED),
        ColSpec("string", pyfunc.REASON),
    ]
    return ModelSignature(inputs=Schema([images]), outputs=Schema(columns))


def _list_requirements() -> list[str]:
    found = {name: version(name) for name in REQUIREMENTS}
    with contextlib.suppress(PackageNotFoundError):
        found[OPTIONAL] = version(OPTIONAL)
    return [f"{name}=={number}" for name, number in found.items()]
