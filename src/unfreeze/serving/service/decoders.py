"""Decodes images for the service in processes, so that a codec that crashes or hangs costs one request."""

import asyncio
import multiprocessing
import signal
import socket
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from multiprocessing.process import BaseProcess
from typing import TypeVar

import numpy as np

from unfreeze.images.jpeg_decoding import Undecodable
from unfreeze.runtime.background import without_interrupts
from unfreeze.serving.service import decoding_process
from unfreeze.serving.service.counters import Counters
from unfreeze.serving.service.limits import Limits, Refusal

# JPEG, PNG, GIF and BMP: nearly all images have these formats.
COMMON = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF87a", b"GIF89a", b"BM")
# AVIF and HEIF have this at byte 4. A file may begin like a common format and have it too: then Pillow tries both.
BOXES = b"ftyp"
SECONDS_TO_START, SECONDS_TO_END = 60.0, 1.0
ANOTHER_FORMAT = "the file is damaged, or its codec has a fault: convert it to PNG, or save it again"


T = TypeVar("T")


class CodecError(Undecodable):
    """The process of a codec crashed, or took too long."""


class Decoders:
    """Processes for JPEG, PNG, GIF and BMP, and others for every other format.

    So slow codecs of the others hold up none of the former. A process starts when it is first needed, and is replaced
    when it ends.

    Args:
        counters: Those of the service.
        limits: Seconds and memory of an image.
        processes: How many there are at most, of either kind.
    """

    def __init__(self, counters: Counters, *, limits: Limits, processes: int) -> None:
        self._counters = counters
        # Threads of their own: those of the event loop may all wait for a process that explains.
        self._threads = ThreadPoolExecutor(processes, thread_name_prefix="start-decoder")
        self._common, self._others = ([_Process(limits, self._threads) for _ in range(processes)] for _ in range(2))
        self._idle_common, self._idle_others = _Idle(self._common), _Idle(self._others)

    def start(self) -> None:
        """Start the processes of the common formats, so that the first images do not wait for them."""
        for process in self._common:
            # The first image tries again.
            with suppress(Refusal):
                process.start()

    async def decode(self, data: bytes, size: int, *, max_pixels: int) -> np.ndarray:
        """Return an image as the square that a network takes.

        Args:
            data: An image file.
            size: Side of the square, pixels.
            max_pixels: Most pixels, width times height.

        Returns:
            uint8 array of shape (size, size, 3).

        Raises:
            Undecodable: It is no image that the pipeline reads, or it crashed its codec or took too much.
            Refusal: No process can be started.
        """
        idle = self._idle_common if is_common(data) else self._idle_others
        process = await idle.get()
        work = asyncio.create_task(self._decode(process, data, size, max_pixels))
        # Where the client leaves, the process still ends its image before it gets another one.
        work.add_done_callback(lambda _: idle.put_nowait(process))
        return await asyncio.shield(work)

    def end(self) -> None:
        """End the processes, also those whose codec hangs."""
        for process in (*self._common, *self._others):
            process.end()
        self._threads.shutdown(cancel_futures=True)

    async def _decode(self, process: "_Process", data: bytes, size: int, max_pixels: int) -> np.ndarray:
        with self._counters.measure("decode"):
            return await process.decode(data, size, max_pixels)


def is_common(data: bytes) -> bool:
    r"""Tell whether a file can only be read by the codecs of the common formats; its name does not count.

    >>> is_common(b"GIF89a and more"), is_common(b"II*\0 and more"), is_common(b"BM??ftypavif")
    (True, False, False)
    """
    return data.startswith(COMMON) and data[4:8] != BOXES


class _Process:
    """A process that decodes one image at a time, replaced when it ends."""

    def __init__(self, limits: Limits, threads: ThreadPoolExecutor) -> None:
        self._threads = threads
        self._seconds = limits.seconds_to_decode
        self._gigabytes = limits.gigabytes_to_decode
        self._lock = threading.Lock()
        self._works = self._ended = False
        self._process: BaseProcess | None = None
        self._socket: socket.socket | None = None
        self.is_new = True

    async def decode(self, data: bytes, size: int, max_pixels: int) -> np.ndarray:
        """Return what `decoding.load_rgb` returns; raises Undecodable where that raises, or a CodecError."""
        self._works = True
        try:
            # The process may have ended while it had nothing to do.
            if not (await self._hand_over(data, size, max_pixels) or await self._hand_over(data, size, max_pixels)):
                raise Refusal(503, "the process that decodes images does not start: try again", "decoder")
            self.is_new = False
            return await self._receive(size)
        finally:
            self._works = False
            if self._ended:
                self._close()

    def start(self) -> None:
        """Start a process instead of the present one; it loads its libraries in the background.

        Raises:
            Refusal: The system does not let it, or the service ends.
        """
        context = multiprocessing.get_context("spawn")
        with self._lock:
            self._kill()
            self._close()
            if self._ended:
                raise _ending()
            self._socket, theirs = socket.socketpair()
            self._socket.setblocking(False)
            arguments = (theirs, self._seconds, self._gigabytes)
            process = context.Process(target=decoding_process.work, args=arguments, daemon=True)
            try:
                with without_interrupts():
                    process.start()
            except OSError as error:
                raise Refusal(503, f"no process to decode images ({error.strerror}): try again", "decoder") from None
            finally:
                theirs.close()
            self._process = process
            self.is_new = True

    def end(self) -> None:
        """End the process for good; an image that it works on gets an error."""
        with self._lock:
            self._ended = True
            self._kill()
            # The event loop must first notice that the other end is closed.
            if not self._works:
                self._close()

    async def _hand_over(self, data: bytes, size: int, max_pixels: int) -> bool:
        """Give an image to the process, which starts if there is none; return whether it begins with it."""
        if self._process is None or not self._process.is_alive():
            await self._run(self.start)
        assert self._socket
        request = decoding_process.REQUEST.pack(len(data), size, max_pixels) + data
        with suppress(EOFError, OSError):
            async with asyncio.timeout(SECONDS_TO_START):
                await asyncio.get_running_loop().sock_sendall(self._socket, request)
                return await self._read(len(decoding_process.TAKEN)) == decoding_process.TAKEN
        self._kill()
        return False

    async def _receive(self, size: int) -> np.ndarray:
        """Return the pixels that the process answers with, or raise its reason."""
        try:
            async with asyncio.timeout(self._seconds):
                # No pickle: a codec that was taken over must not run code here.
                kind, length = decoding_process.ANSWER.unpack(await self._read(decoding_process.ANSWER.size))
                answer = await self._read(size * size * 3 if kind == decoding_process.PIXELS else length)
        except TimeoutError:
            self._kill()
            await self._run(self._replace)
            raise CodecError(f"decoding it took longer than {self._seconds:g} s: {ANOTHER_FORMAT}") from None
        except (EOFError, OSError):
            ending = await self._run(self._replace)
            raise CodecError(f"decoding it crashed ({ending}): {ANOTHER_FORMAT}") from None
        if kind != decoding_process.PIXELS:
            raise Undecodable(answer.decode(errors="replace"))
        return np.frombuffer(answer, np.uint8).reshape(size, size, 3)

    async def _read(self, count: int) -> bytearray:
        assert self._socket
        loop, data = asyncio.get_running_loop(), bytearray(count)
        left = memoryview(data)
        while left:
            read = await loop.sock_recv_into(self._socket, left)
            if not read:
                raise EOFError
            left = left[read:]
        return data

    async def _run(self, function: Callable[[], T]) -> T:
        """Run what takes longer than the event loop may wait."""
        if self._ended:
            raise _ending()
        return await asyncio.get_running_loop().run_in_executor(self._threads, function)

    def _replace(self) -> str:
        """Start the next process; return how this one ended."""
        assert self._process
        self._process.join(SECONDS_TO_END)
        code = self._process.exitcode
        # The image gets its own error; the next one tries again to start a process.
        with suppress(Refusal):
            self.start()
        return signal.Signals(-code).name if code and code < 0 else f"code {code}"

    def _kill(self) -> None:
        if self._process:
            self._process.kill()
            self._process.join()

    def _close(self) -> None:
        if self._socket:
            self._socket.close()


def _ending() -> Refusal:
    return Refusal(503, "the service is ending", "decoder")


class _Idle(asyncio.LifoQueue[_Process]):
    """Processes that have nothing to do.

    The last one used comes first, so that few are started where few are needed. One that still starts comes last.

    Args:
        processes: All of them.
    """

    def __init__(self, processes: list[_Process]) -> None:
        super().__init__()
        for process in processes:
            self.put_nowait(process)

    def _put(self, process: _Process) -> None:
        self._queue: list[_Process]
        self._queue.insert(0 if process.is_new else len(self._queue), process)
