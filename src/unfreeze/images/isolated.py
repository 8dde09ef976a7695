"""Images for processes that may crash over them: files at an address are brought to this machine one after the other.

A module of its own, since processes that draw thumbnails import it: it must import little.
"""

import tempfile
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from itertools import tee
from pathlib import Path
from typing import NoReturn, TypeVar

from unfreeze.errors import UnfreezeError
from unfreeze.runtime.isolated_map import Failure, run_isolated
from unfreeze.runtime.remote_folder import THREADS, RemoteFile

R = TypeVar("R")
ImageFile = Path | RemoteFile


def run_on_images(
    function: Callable[[Path], R], images: Sequence[ImageFile], *, seconds: float, gigabytes: float
) -> Iterator[tuple[Path, R | Failure]]:
    """Call a function on each image as `run_isolated` does; the time limit leaves out the way over a network.

    Args:
        function: A module-level function, or a `functools.partial` of one.
        images: The images.
        seconds: Time limit of an image, seconds.
        gigabytes: Memory that a process may use beyond what it has at its start, GB of 10^9 bytes.

    Yields:
        A file of this machine, which is there until the next one is asked for, and its result, in the images' order.

    Raises:
        UnfreezeError: A file at an address is missing or cannot be read.
    """
    with (
        tempfile.TemporaryDirectory(prefix="unfreeze-") as scratch,
        closing(_bring(images, Path(scratch))) as brought,
    ):
        # The same files twice: those that are handed out go ahead of those that have a result.
        given, waiting = tee(brought)
        for result in run_isolated(function, given, seconds=seconds, gigabytes=gigabytes):
            path = next(waiting)
            yield path, result
            if path.is_relative_to(scratch):
                path.unlink()


def bring(image: ImageFile, folder: Path) -> Path:
    """Return a file of this machine: that one, or a copy of a file at an address.

    Args:
        image: The image.
        folder: Takes the copy.

    Raises:
        UnfreezeError: A file at an address is missing or cannot be read.
    """
    if isinstance(image, Path):
        return image
    path = folder / image.name
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        path.write_bytes(image.read_bytes())
    except FileNotFoundError as error:
        refuse(image, f"cannot be read ({error.strerror})")
    return path


def refuse(image: ImageFile, problem: str) -> NoReturn:
    """Refuse a file of the source.

    Args:
        image: The file.
        problem: What is wrong with it.

    Raises:
        UnfreezeError: Says what to do.
    """
    raise UnfreezeError(
        f"{image} {problem}; data.in_place is set, so it is read where it is: bring back the file that was there, or "
        "list the source again with `dvc repro --force download`, then run `dvc repro` (or `dvc exp run`)"
    )


def _bring(images: Sequence[ImageFile], folder: Path) -> Generator[Path, None, None]:
    """Yield files of this machine, and read some ahead."""
    pool = ThreadPoolExecutor(THREADS)
    waiting: deque[Future[Path]] = deque()
    try:
        for image in images:
            if isinstance(image, Path):
                yield image
                continue
            waiting.append(pool.submit(bring, image, folder))
            if len(waiting) == 2 * THREADS:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
