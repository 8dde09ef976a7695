"""Asynchronous requests to a network, one image each."""

import asyncio
from collections import deque
from typing import Any

import numpy as np

from unfreeze.serving.network import Network, read_outputs
from unfreeze.serving.service.counters import Counters

Outputs = tuple[np.ndarray, np.ndarray]


class Pool:
    """As many requests as OpenVINO can run side by side; further images wait in the order in which they came.

    Args:
        network: It takes one image a call.
        counters: Count how many images wait.
    """

    def __init__(self, network: Network, counters: Counters) -> None:
        import openvino

        # One more than its streams: the next image is there when a stream is free.
        self._free = network.compiled.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS") + 1
        self._requests = openvino.AsyncInferQueue(network.compiled, self._free)
        self._requests.set_callback(_finish)
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._counters = counters

    async def run(self, pixels: np.ndarray) -> Outputs:
        """Return probabilities and features of an image.

        Args:
            pixels: uint8 array of shape (size, size, 3).

        Returns:
            float64 array of shape (1, classes), float32 array of shape (1, channels).
        """
        with self._counters.measure("wait"):
            await self._take_place()
        loop = asyncio.get_running_loop()
        done: asyncio.Future[Outputs] = loop.create_future()
        # A request goes on where the client has left: its place is free when it ends.
        done.add_done_callback(lambda _: self._free_place())
        with self._counters.measure("network"):
            # The queue keeps what it is given here until the next image: it must not lead back to the queue.
            self._requests.start_async({0: np.ascontiguousarray(pixels[None])}, (loop, done))
            return await asyncio.shield(done)

    def end(self) -> None:
        """Wait for the requests that run."""
        self._requests.wait_all()

    async def _take_place(self) -> None:
        if self._free:
            self._free -= 1
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        self._counters.set_waiting(len(self._waiting))
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._free_place()
            raise

    def _free_place(self) -> None:
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                break
        else:
            self._free += 1
        self._counters.set_waiting(len(self._waiting))


def _finish(request: Any, caller: tuple[asyncio.AbstractEventLoop, "asyncio.Future[Outputs]"]) -> None:
    """Hand the outputs over, from a thread of OpenVINO."""
    loop, done = caller
    try:
        outputs = read_outputs(1, request)
    except RuntimeError as error:
        loop.call_soon_threadsafe(done.set_exception, error)
    else:
        loop.call_soon_threadsafe(done.set_result, outputs)
