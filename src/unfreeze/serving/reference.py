"""The training images that a packed model compares new images with."""

import functools
import io
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from unfreeze import files
from unfreeze.errors import UnfreezeError
from unfreeze.serving.abstention import Vectors


@dataclass(frozen=True)
class Reference:
    """Features and small pictures of training images, and what conformal sets are calibrated on.

    Args:
        features: Normalized, float16 array of shape (images, channels).
        lengths: Of the features before that, float32 of shape (images,).
        ids: Each image's path.
        labels: Class numbers.
        pictures: Each image as a small JPEG.
        scores: How little the model thought of the right class in the calibration fold, ascending; empty if there is
            no such fold.
    """

    features: np.ndarray
    lengths: np.ndarray
    ids: list[str]
    labels: np.ndarray
    pictures: list[bytes]
    scores: np.ndarray

    @functools.cached_property
    def vectors(self) -> Vectors:
        """Directions and lengths of the features, in float32."""
        return Vectors(self.features.astype("float32"), self.lengths)

    def write(self, path: Path) -> None:
        """Write it as a `.npz` file; equal references give equal bytes."""
        stream = io.BytesIO()
        arrays: dict[str, Any] = {
            "features": self.features.astype(np.float16),
            "lengths": self.lengths.astype(np.float32),
            "labels": self.labels.astype(np.int32),
            "scores": self.scores.astype(np.float64),
            **_join("ids", [name.encode() for name in self.ids]),
            **_join("pictures", self.pictures),
        }
        np.savez(stream, **arrays)
        with files.atomic(path) as partial:
            partial.write_bytes(stream.getvalue())

    @classmethod
    def read(cls, path: Path) -> "Reference":
        """Read a file that `write` wrote.

        Raises:
            UnfreezeError: It is damaged.
        """
        try:
            with np.load(path) as stored:
                return cls(
                    stored["features"],
                    stored["lengths"],
                    [name.decode() for name in _divide(stored, "ids")],
                    stored["labels"],
                    _divide(stored, "pictures"),
                    stored["scores"],
                )
        except (OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile, zlib.error) as error:
            raise UnfreezeError(f"{path} is damaged ({error}): `dvc repro` writes it again") from error


def _join(name: str, parts: Sequence[bytes]) -> dict[str, np.ndarray]:
    return {
        name: np.frombuffer(b"".join(parts), np.uint8),
        f"{name}_ends": np.cumsum([len(part) for part in parts], dtype=np.int64),
    }


def _divide(stored: "np.lib.npyio.NpzFile", name: str) -> list[bytes]:
    whole, ends = stored[name].tobytes(), stored[f"{name}_ends"].tolist()
    return [whole[start:end] for start, end in zip([0, *ends], ends, strict=False)]
