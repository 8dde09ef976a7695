"""Saving `.keras` files so that the same model gives the same bytes, and loading them."""

import inspect
import json
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import keras

from unfreeze import files

# The earliest time that a zip file can hold, so that the time of saving does not change the bytes.
EPOCH = (1980, 1, 1, 0, 0, 0)
# Whose descriptions hold the arguments of their constructors and nothing else.
DESCRIBED = {"keras.initializers": keras.initializers, "keras.layers": keras.layers}


def save(model: keras.Model, path: Path) -> None:
    """Save a model in Keras' own format, with the same bytes for the same model.

    Keras writes the time into the archive and into `metadata.json`, and memory addresses as
    `shared_object_id` into `config.json`. It also writes arguments that its versions before 3.15 do not know, at
    their defaults; those are left out, so that Keras 3.10 and later load what is saved here.

    Args:
        model: A model of standard layers.
        path: Target, ending in `.keras`.
    """
    with tempfile.TemporaryDirectory() as folder:
        original = Path(folder) / "model.keras"
        model.save(original)
        with (
            files.atomic(path) as partial,
            zipfile.ZipFile(original) as source,
            zipfile.ZipFile(partial, "w") as target,
        ):
            for name in sorted(source.namelist()):
                content = source.read(name)
                if name == "metadata.json":
                    content = _dump({**json.loads(content), "date_saved": "1980-01-01@00:00:00"})
                elif name == "config.json":
                    content = _dump(_drop_unneeded(json.loads(content)))
                target.writestr(zipfile.ZipInfo(name, EPOCH), content)


def load(path: Path) -> keras.Model:
    """Return the model of a `.keras` file, to be run and not trained on: it is not compiled."""
    model: keras.Model = keras.models.load_model(path, compile=False)
    return model


def _dump(value: Any) -> bytes:
    return json.dumps(value).encode()


def _drop_unneeded(value: Any) -> Any:
    """Return Keras' description of a model without addresses and without arguments that have their default."""
    if isinstance(value, list):
        return [_drop_unneeded(item) for item in value]
    if not isinstance(value, dict):
        return value
    if value.get("module") in DESCRIBED:
        defaults = _list_defaults(getattr(DESCRIBED[value["module"]], value["class_name"]))
        kept = {key: item for key, item in value["config"].items() if key not in defaults or item != defaults[key]}
        value = {**value, "config": kept}
    return {key: _drop_unneeded(item) for key, item in value.items() if key != "shared_object_id"}


def _list_defaults(kind: type) -> dict[str, Any]:
    """Return the defaults of a class's arguments that its description can lack.

    Not the name, which Keras would number anew; and of classes that read their description in their own way only what
    is None.
    """
    parameters = inspect.signature(kind).parameters.values()
    defaults = {one.name: one.default for one in parameters if one.name != "name" and one.default is not one.empty}
    if "from_config" in vars(kind):
        return {name: default for name, default in defaults.items() if default is None}
    return defaults
