"""What a process does that decodes images for the service; it imports no more than that takes."""

import resource
import signal
import socket
import struct
from contextlib import suppress
from pathlib import Path

from unfreeze.images import decoding
from unfreeze.images.decoding import Undecodable

# A request: bytes of the file that follows, side of the square, most pixels.
REQUEST = struct.Struct("<IIQ")
# Says that the process begins with an image.
TAKEN = b"t"
# An answer: what follows, the pixels or a reason, and the length of the reason, bytes.
ANSWER, PIXELS, REFUSED = struct.Struct("<cH"), b"p", b"r"
LONGEST_REASON = 10_000
BYTES_PER_GB = 10**9
# The service ends the process at its time limit; if there is no service any more, the system does so this much later.
GRACE = 1.0


def work(connection: socket.socket, seconds: float, gigabytes: float) -> None:
    """Decode images until the service closes the connection.

    Args:
        connection: Brings requests, and takes the answers.
        seconds: Time limit of an image.
        gigabytes: Memory that it may take beyond what the process has at its start, GB of 10^9 bytes.
    """
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    _set_limit(resource.RLIMIT_AS, pages * resource.getpagesize() + int(gigabytes * BYTES_PER_GB))
    # Writing a core file of gigabytes would take longer than starting the next process.
    _set_limit(resource.RLIMIT_CORE, 0)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    # Service managers send it to all processes of a service, which still answers the requests that it has.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    with suppress(OSError), connection.makefile("rb") as requests:
        while request := requests.read(REQUEST.size):
            length, size, max_pixels = REQUEST.unpack(request)
            data = requests.read(length)
            connection.sendall(TAKEN)
            # Ends the process even while a codec holds Python's lock.
            signal.setitimer(signal.ITIMER_REAL, seconds + GRACE)
            answer = _decode(data, size, max_pixels, gigabytes)
            signal.setitimer(signal.ITIMER_REAL, 0)
            connection.sendall(answer)


def _set_limit(kind: int, value: int) -> None:
    resource.setrlimit(kind, (value, resource.getrlimit(kind)[1]))


def _decode(data: bytes, size: int, max_pixels: int, gigabytes: float) -> bytes:
    try:
        return ANSWER.pack(PIXELS, 0) + decoding.load_rgb(data, size, max_pixels=max_pixels).tobytes()
    except Undecodable as error:
        return _refuse(str(error))
    except MemoryError:
        return _refuse(f"decoding it needs more than {gigabytes:g} GB of memory: send fewer pixels")


def _refuse(reason: str) -> bytes:
    text = reason.encode(errors="replace")[:LONGEST_REASON]
    return ANSWER.pack(REFUSED, len(text)) + text
