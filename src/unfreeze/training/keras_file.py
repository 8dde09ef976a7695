"""Saving `.keras` files so that the same model gives the same bytes."""

import json
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import keras

from unfreeze import files

# The earliest time that a zip file can hold, so that the time of saving does not change the bytes.
EPOCH = (1980, 1, 1, 0, 0, 0)


def save(model: keras.Model, path: Path) -> None:
    """Save a model in Keras' own format, with the same bytes for the same model.

    Keras writes the time into the archive and into `metadata.json`, and memory addresses as
    `shared_object_id` into `config.json`.

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
                    content = _dump(_drop_shared_ids(json.loads(content)))
                target.writestr(zipfile.ZipInfo(name, EPOCH), content)


def _dump(value: Any) -> bytes:
    return json.dumps(value).encode()


def _drop_shared_ids(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _drop_shared_ids(item) for key, item in value.items() if key != "shared_object_id"}
    if isinstance(value, list):
        return [_drop_shared_ids(item) for item in value]
    return value
