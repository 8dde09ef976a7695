"""Decodes images for the service, so that a codec that crashes or hangs costs one request."""

import asyncio
import multiprocessing
import queue
import signal
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess

import numpy as np

from unfreeze.images import decoding
from unfreeze.images.jpeg_decoding import Undecodable
from unfreeze.runtime.background import without_interrupts
from unfreeze.serving.service import decoding_process
from unfreeze.serving.service.counters import Counters
from unfreeze.serving.service.limits import Limits, Refusal

# JPEG, PNG, GIF and BMP: their codecs have been attacked for decades, and most images have these formats.
SAFE = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF87a", b"GIF89a", b"BM")
# AVIF and HEIF have this at byte 4. A file may begin like a safe format and have it too: then Pillow tries both.
BOXES = b"ftyp"
SECONDS_TO_START, SECONDS_TO_END = 60.0, 1.0
LONGEST_REASON = 10_000
TO_PNG = "the file is damaged, or its codec has a fault: convert it to PNG"


class CodecError(Undecodable):
    """The process of a codec crashed, or took too long."""


class Decoders:
    """JPEG, PNG, GIF and BMP are decoded in threads; every other format in processes, started when first needed.

    Args:
        threads: Decode the former; shared with others.
        counters: Those of the service.
        limits: Seconds and memory of an image that is decoded in a process.
        processes: How many there are at most.
    """

    def __init__(self, threads: ThreadPoolExecutor, counters: Counters, *, limits: Limits, processes: int) -> None:
        self._counters = counters
        self._threads = threads
        # Threads of their own: those that wait for a slow codec take none from the other formats.
        self._waiting = ThreadPoolExecutor(processes, thread_name_prefix="decode-apart")
        self._processes = [_Process(limits) for _ in range(processes)]
        # The last one used comes first, so that few of them are started where few are needed.
        self._idle: queue.LifoQueue[_Process] = queue.LifoQueue()
        for process in self._processes:
            self._idle.put(process)

    async def decode(self, data: bytes, size: int, *, max_pixels: int) -> np.ndarray:
        """Return an image as the square that a network takes.

        Args:
            data: An image file.
            size: Side of the square, pixels.
            max_pixels: Most pixels, width times height.

        Returns:
            uint8 array of shape (size, size, 3).

        Raises:
            Undecodable: It is no image that the pipeline reads, or it crashed its codec or took too long.
            MemoryError: There is not enough memory now.
            Refusal: No process can be started.
        """
        if is_safe(data):
            pool, function = self._threads, _decode_here
        else:
            pool, function = self._waiting, self._decode_apart
        return await asyncio.get_running_loop().run_in_executor(pool, self._measure, function, data, size, max_pixels)

    def end(self) -> None:
        """End the processes, also those whose codec hangs, and the threads that wait for them."""
        for process in self._processes:
            process.end()
        self._waiting.shutdown(cancel_futures=True)

    def _measure(
        self, function: Callable[[bytes, int, int], np.ndarray], data: bytes, size: int, max_pixels: int
    ) -> np.ndarray:
        with self._counters.measure("decode"):
            return function(data, size, max_pixels)

    def _decode_apart(self, data: bytes, size: int, max_pixels: int) -> np.ndarray:
        process = self._idle.get()
        try:
            return process.decode(data, size, max_pixels)
        finally:
            self._idle.put(process)


def is_safe(data: bytes) -> bool:
    r"""Tell whether a file can only be read by codecs that run in the service itself; its name does not count.

    >>> is_safe(b"GIF89a and more"), is_safe(b"II*\0 and more"), is_safe(b"BM??ftypavif")
    (True, False, False)
    """
    return data.startswith(SAFE) and data[4:8] != BOXES


def _decode_here(data: bytes, size: int, max_pixels: int) -> np.ndarray:
    return decoding.load_rgb(data, size, max_pixels=max_pixels)


class _Process:
    """A process that decodes one image at a time, replaced when it ends."""

    def __init__(self, limits: Limits) -> None:
        self._seconds = limits.seconds_to_decode
        self._gigabytes = limits.gigabytes_to_decode
        self._lock = threading.Lock()
        self._ended = False
        self._process: BaseProcess | None = None
        self._connection: Connection | None = None

    def decode(self, data: bytes, size: int, max_pixels: int) -> np.ndarray:
        """Return what `decoding.load_rgb` returns; raises what it raises, or a CodecError."""
        # The process may have ended while it had nothing to do.
        if not any(self._hand_over(data, size, max_pixels) for _ in range(2)):
            raise Refusal(503, "the process that decodes this format does not start: try again", "decoder")
        assert self._connection
        try:
            if not self._connection.poll(self._seconds):
                self._kill()
                self._replace()
                raise CodecError(f"decoding it took longer than {self._seconds:g} s: {TO_PNG}")
            # No pickle: a codec that was taken over must not run code here.
            answer = self._connection.recv_bytes(size * size * 3 + LONGEST_REASON)
        except (EOFError, OSError):
            raise CodecError(f"decoding it crashed ({self._replace()}): {TO_PNG}") from None
        if not answer.startswith(decoding_process.PIXELS):
            raise Undecodable(answer[1:].decode(errors="replace"))
        return np.frombuffer(answer, np.uint8, offset=1).reshape(size, size, 3)

    def end(self) -> None:
        """End the process for good; an image that it works on gets an error."""
        with self._lock:
            self._ended = True
            self._kill()

    def _hand_over(self, data: bytes, size: int, max_pixels: int) -> bool:
        """Give an image to the process, which starts if there is none; return whether it begins with it."""
        if self._process is None or not self._process.is_alive():
            self._start()
        assert self._connection
        with suppress(EOFError, OSError):
            self._connection.send((data, size, max_pixels))
            if self._connection.poll(SECONDS_TO_START):
                return self._connection.recv_bytes() == decoding_process.TAKEN
        self._kill()
        return False

    def _replace(self) -> str:
        """Start the next process; return how this one ended."""
        assert self._process
        self._process.join(SECONDS_TO_END)
        code = self._process.exitcode
        # The image gets its own error; the next one tries again to start a process.
        with suppress(Refusal):
            self._start()
        return signal.Signals(-code).name if code and code < 0 else f"code {code}"

    def _start(self) -> None:
        """Start a process instead of the present one; it loads its libraries in the background."""
        context = multiprocessing.get_context("spawn")
        with self._lock:
            self._kill()
            if self._ended:
                raise Refusal(503, "the service is ending", "decoder")
            if self._connection:
                self._connection.close()
            self._connection, theirs = context.Pipe()
            arguments = (theirs, self._seconds, self._gigabytes)
            process = context.Process(target=decoding_process.work, args=arguments, daemon=True)
            try:
                with without_interrupts():
                    process.start()
            except OSError as error:
                raise Refusal(
                    503, f"no process to decode this format ({error.strerror}): try again", "decoder"
                ) from None
            finally:
                theirs.close()
            self._process = process

    def _kill(self) -> None:
        if self._process:
            self._process.kill()
            self._process.join()
