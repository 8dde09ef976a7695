"""Decodes images in threads ahead of the network, and keeps their order."""

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

from unfreeze.images import decoding
from unfreeze.images.decoding import Undecodable
from unfreeze.models.compiled import REQUESTS
from unfreeze.runtime.isolated_map import Failure, run_isolated
from unfreeze.runtime.processors import count_processors
from unfreeze.serving.classifier import Classifier
from unfreeze.serving.inputs import Input

# Images that cannot be read and come in a row before a batch goes to the network without any: memory stays bounded.
MOST_UNREAD = 512
# Limits of an image that is decoded in a process of its own: seconds, and GB of memory for it.
SECONDS, GIGABYTES = 60.0, 4.0


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


def predict(
    classifier: Classifier, inputs: Iterator[tuple[int, Input]], *, isolated: int = 0
) -> Iterator[list[Prediction]]:
    """Yield what a model says of images, a batch at a time, in order.

    Args:
        classifier: The model.
        inputs: Images with their places in the input; only a few batches are taken ahead.
        isolated: How many of the first images are decoded in processes of their own, which they may crash.
    """
    groups: deque[list[Loaded]] = deque()

    def stack() -> Iterator[np.ndarray]:
        for group in _group(load_ahead(classifier, inputs, isolated=isolated), classifier.batch_size):
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


def load_ahead(classifier: Classifier, inputs: Iterator[tuple[int, Input]], *, isolated: int = 0) -> Iterator[Loaded]:
    """Yield decoded images in order, while threads decode the next ones.

    Args:
        classifier: The model that they are decoded for.
        inputs: Images with their places in the input.
        isolated: As `predict` takes it.
    """
    if isolated:
        yield from _load_isolated(classifier, islice(inputs, isolated))
    threads, ahead = count_processors(), _count_ahead(classifier)
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


def count_begun(classifier: Classifier) -> int:
    """Return how many images without a row a run may have begun when it ended, or a few more."""
    # Those that were being decoded, in batches, in the network, and in the batch whose rows were written.
    return _count_ahead(classifier) + classifier.batch_size * (REQUESTS + 2)


def _count_ahead(classifier: Classifier) -> int:
    return classifier.batch_size * REQUESTS + count_processors()


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


def _load_isolated(classifier: Classifier, inputs: Iterator[tuple[int, Input]]) -> Iterator[Loaded]:
    """Yield decoded images, and the end of its process as the reason of an image that crashes it."""
    some = list(inputs)
    load = partial(_load_or_explain, size=classifier.model.size, max_pixels=classifier.model.max_pixels)
    paths = [(found.fetch(), found.path) for _, found in some]
    results = run_isolated(load, paths, seconds=SECONDS, gigabytes=GIGABYTES)
    for (number, found), result in zip(some, results, strict=True):
        found.discard()
        if isinstance(result, np.ndarray):
            yield Loaded(number, found, result)
        else:
            yield Loaded(number, found, None, f"it {result.reason}" if isinstance(result, Failure) else result)


def _load_or_explain(given: tuple[str, Path], *, size: int, max_pixels: int) -> np.ndarray | str:
    problem, path = given
    try:
        return problem or decoding.load_rgb(path, size, max_pixels=max_pixels)
    except Undecodable as error:
        return str(error)


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
