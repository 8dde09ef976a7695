"""What a process does that decodes images for the service; it imports no more than that takes."""

import resource
import signal
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path

from unfreeze.images import decoding
from unfreeze.images.decoding import Undecodable

# The first says that the process begins with an image; pixels or a reason follow behind the others.
TAKEN, PIXELS, REFUSED = b"t", b"p", b"r"
BYTES_PER_GB = 10**9
# The service ends the process at its time limit; if there is no service any more, the system does so this much later.
GRACE = 1.0


def work(connection: Connection, seconds: float, gigabytes: float) -> None:
    """Decode images until the service closes the connection.

    Args:
        connection: Brings (bytes of a file, side of the square, most pixels), and takes the answers.
        seconds: Time limit of an image.
        gigabytes: Memory that it may take beyond what the process has at its start, GB of 10^9 bytes.
    """
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    _set_limit(resource.RLIMIT_AS, pages * resource.getpagesize() + int(gigabytes * BYTES_PER_GB))
    # Writing a core file of gigabytes would take longer than starting the next process.
    _set_limit(resource.RLIMIT_CORE, 0)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    with suppress(EOFError, OSError):
        while True:
            data, size, max_pixels = connection.recv()
            connection.send_bytes(TAKEN)
            # Ends the process even while a codec holds Python's lock.
            signal.setitimer(signal.ITIMER_REAL, seconds + GRACE)
            answer = _decode(data, size, max_pixels, gigabytes)
            signal.setitimer(signal.ITIMER_REAL, 0)
            connection.send_bytes(answer)


def _set_limit(kind: int, value: int) -> None:
    resource.setrlimit(kind, (value, resource.getrlimit(kind)[1]))


def _decode(data: bytes, size: int, max_pixels: int, gigabytes: float) -> bytes:
    try:
        return PIXELS + decoding.load_rgb(data, size, max_pixels=max_pixels).tobytes()
    except Undecodable as error:
        return REFUSED + str(error)[:1000].encode(errors="replace")
    except MemoryError:
        return REFUSED + f"decoding it needs more than {gigabytes:g} GB of memory: send fewer pixels".encode()
