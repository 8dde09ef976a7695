"""Decodes images in threads ahead of the network, and keeps their order."""

import os
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from threadpoolctl import threadpool_limits

from unfreeze.images.decoding import Undecodable
from unfreeze.serving.classifier import Classifier
from unfreeze.serving.inputs import Input
from unfreeze.serving.network import REQUESTS

# Images that cannot be read and come in a row before a batch goes to the network without any: memory stays bounded.
MOST_UNREAD = 512


@dataclass(frozen=True)
class Loaded:
    """An image on its way to the network.

    Args:
        number: Its place in the input, from 0.
        input: The image.
        pixels: uint8 array of shape (size, size, 3); None if it could not be read.
        reason: Why it could not be read; empty if it was.
    """

    number: int
    input: Input
    pixels: np.ndarray | None
    reason: str = ""


@dataclass(frozen=True)
class Prediction:
    """What a model says of an image.

    Args:
        loaded: The image.
        probabilities: Calibrated, float64 of shape (classes,); None if the image could not be read.
        reason: Why the answer is not accepted, or why there is none; empty if it is accepted.
    """

    loaded: Loaded
    probabilities: np.ndarray | None
    reason: str


def predict(classifier: Classifier, inputs: Iterator[tuple[int, Input]]) -> Iterator[list[Prediction]]:
    """Yield what a model says of images, a batch at a time, in order.

    Args:
        classifier: The model.
        inputs: Images with their places in the input; only a few batches are taken ahead.
    """
    groups: deque[list[Loaded]] = deque()

    def stack() -> Iterator[np.ndarray]:
        for group in _group(load_ahead(classifier, inputs), classifier.batch_size):
            groups.append(group)
            pixels = [loaded.pixels for loaded in group if loaded.pixels is not None]
            # A black image stands for a group without any, so that each group has its answers in the network's order.
            size = classifier.model.size
            yield np.stack(pixels) if pixels else np.zeros((1, size, size, 3), np.uint8)

    # Between its products BLAS keeps its threads spinning, which takes a fifth of the processor from the network.
    with threadpool_limits(1, "blas"):
        for answers in classifier.classify(stack()):
            said = iter(zip(answers.probabilities, answers.reasons, strict=True))
            yield [
                Prediction(loaded, None, loaded.reason) if loaded.pixels is None else Prediction(loaded, *next(said))
                for loaded in groups.popleft()
            ]


def load_ahead(classifier: Classifier, inputs: Iterator[tuple[int, Input]]) -> Iterator[Loaded]:
    """Yield decoded images in order, while threads decode the next ones.

    Args:
        classifier: The model that they are decoded for.
        inputs: Images with their places in the input.
    """
    threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    ahead = classifier.batch_size * REQUESTS + threads
    waiting: deque[Future[Loaded]] = deque()
    pool = ThreadPoolExecutor(threads, thread_name_prefix="decode")
    try:
        for number, found in inputs:
            waiting.append(pool.submit(_load, classifier, number, found))
            if len(waiting) > ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def _load(classifier: Classifier, number: int, found: Input) -> Loaded:
    try:
        if problem := found.fetch():
            return Loaded(number, found, None, problem)
        return Loaded(number, found, classifier.load(found.path))
    except Undecodable as error:
        return Loaded(number, found, None, str(error))
    except MemoryError:
        return Loaded(number, found, None, "it needs more memory than there is")
    finally:
        found.discard()


def _group(images: Iterator[Loaded], batch_size: int) -> Iterator[list[Loaded]]:
    """Yield groups of images: each but the last holds a whole batch, or very many that could not be read."""
    group: list[Loaded] = []
    read = 0
    for loaded in images:
        group.append(loaded)
        read += loaded.pixels is not None
        if read == batch_size or len(group) - read == MOST_UNREAD:
            yield group
            group, read = [], 0
    if group:
        yield group
