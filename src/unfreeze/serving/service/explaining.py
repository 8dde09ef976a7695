"""Grad-CAM in a process of its own: it alone loads TensorFlow, and may be slow or end without harm."""

import io
import multiprocessing
import threading
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from unfreeze.errors import shorten
from unfreeze.runtime import console
from unfreeze.runtime.background import end_with_parent, without_interrupts
from unfreeze.serving.service.limits import Refusal

# After so long without a request the process ends, and gives its memory back.
SECONDS_IDLE = 300.0


class Explainer:
    """Shows which places of an image speak for a class; one image at a time.

    Args:
        seconds: Time limit of an image; the first one waits for TensorFlow and the model too.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._lock = threading.Lock()
        self._process: BaseProcess | None = None
        self._connection: Connection | None = None

    def explain(self, model: Path, pixels: np.ndarray, number: int) -> bytes:
        """Return an image with the heat of Grad-CAM over it, as a PNG file.

        Args:
            model: The `.keras` file.
            pixels: uint8 array of shape (size, size, 3).
            number: The class that is explained.

        Raises:
            Refusal: Another image is being explained, or the process took too long or ended.
        """
        if not self._lock.acquire(timeout=self._seconds):
            raise Refusal(503, "other images are being explained: try again later", "explain busy")
        try:
            return self._ask(model, pixels, number)
        finally:
            self._lock.release()

    def end(self) -> None:
        """End the process."""
        if self._process:
            self._process.kill()
            self._process.join()
        self._process = None

    def _ask(self, model: Path, pixels: np.ndarray, number: int) -> bytes:
        if self._process is None or not self._process.is_alive():
            self._start()
        assert self._connection
        try:
            self._connection.send((model, pixels, number))
            if not self._connection.poll(self._seconds):
                self.end()
                raise Refusal(503, f"it took longer than {self._seconds:g} s to explain: try again", "explain time")
            result = self._connection.recv()
        except (EOFError, OSError):
            self.end()
            raise Refusal(503, "the process that explains has ended: try again", "explain ended") from None
        if isinstance(result, str):
            raise Refusal(501, f"this model cannot be explained: {result}", "explain")
        return bytes(result)

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=_work, args=(theirs,), name="explain", daemon=True)
        with without_interrupts():
            self._process.start()
        theirs.close()


def _work(connection: Connection) -> None:
    """Explain images until none comes for a while or the parent ends."""
    end_with_parent()
    console.import_tensorflow()
    loaded, explainer = None, None
    while connection.poll(SECONDS_IDLE):
        try:
            wanted, pixels, number = connection.recv()
        except EOFError:
            return
        try:
            stamp = (wanted, wanted.stat().st_mtime_ns)
            if stamp != loaded:
                loaded, explainer = stamp, _load(wanted)
            connection.send(_explain(explainer, pixels, number))
        # Models differ in what Grad-CAM can look into; the caller learns the reason.
        except Exception as error:
            connection.send(shorten(error, named=True))


def _load(path: Path) -> Any:
    """Return what explains a model; its function is traced once and not with each image."""
    from unfreeze.models import keras_file
    from unfreeze.models.explanations import Explainer

    return Explainer(keras_file.load(path))


def _explain(explainer: Any, pixels: np.ndarray, number: int) -> bytes:
    from unfreeze.models import explanations

    heat = explainer.explain(pixels[None], np.array([number])).heat[0]
    stream = io.BytesIO()
    Image.fromarray(explanations.overlay(pixels, heat)).save(stream, "PNG")
    return stream.getvalue()
