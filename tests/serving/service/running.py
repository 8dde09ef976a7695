"""A service in a thread of the test's process, and ways to ask it."""

import base64
import http.client
import json
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unfreeze.serving.locate import Located
from unfreeze.serving.service.app import Service
from unfreeze.serving.service.counters import Counters
from unfreeze.serving.service.decoders import Decoders
from unfreeze.serving.service.limits import Limits
from unfreeze.serving.service.reload import Watcher
from unfreeze.serving.service.served import Served, Shelf
from unfreeze.serving.service.server import build_server, listen

BOUNDARY = "between"


@dataclass(frozen=True)
class Answer:
    """What a server said."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Running:
    """A service that answers."""

    port: int
    service: Service

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def ask(self, path: str, body: bytes | None = None, **headers: str) -> Answer:
        """Ask for a path; with a body by POST. Names of headers have _ for -."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=300)
        try:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request("GET" if body is None else "POST", path, body, named)
            response = connection.getresponse()
            return Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())
        finally:
            connection.close()

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=300)

    def count(self, metric: str) -> float:
        """Return the value of a line of the metrics, such as `unfreeze_refusals_total{reason="slow"}`."""
        lines = self.service.counters.write().decode().splitlines()
        return next((float(line.rpartition(" ")[2]) for line in lines if line.startswith(f"{metric} ")), 0.0)


@contextmanager
def run_service(
    located: Located | Path,
    *,
    limits: Limits | None = None,
    token: str | None = None,
    watch: Callable[[], Located] | None = None,
) -> Iterator[Running]:
    """Run a service of a package."""
    counters = Counters()
    located = located if isinstance(located, Located) else Located(located, str(located))
    shelf, limits = Shelf(Served.load(located, counters), counters), limits or Limits()
    decoders = Decoders(counters, limits=limits, processes=2)
    service = Service(shelf, counters, decoders, limits=limits, token=token)
    listening = listen("127.0.0.1", 0)
    server = build_server(service)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    watcher = Watcher(watch, shelf, counters, seconds=0.05) if watch else None
    if watcher:
        watcher.start()
    try:
        yield Running(listening.getsockname()[1], service)
    finally:
        if watcher:
            watcher.end()
        server.should_exit = True
        thread.join()
        service.end()
        decoders.end()


def write_form(*files: tuple[str, bytes]) -> bytes:
    """Return a form with files, as browsers send it."""
    parts = [
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n\r\n'.encode()
        + data
        + b"\r\n"
        for name, data in files
    ]
    return b"".join([*parts, f"--{BOUNDARY}--\r\n".encode()])


FORM = f"multipart/form-data; boundary={BOUNDARY}"


def write_v2(*images: bytes, **more: Any) -> bytes:
    """Return a V2 request with images in JSON."""
    data = [base64.b64encode(image).decode() for image in images]
    tensor = {"name": "image", "datatype": "BYTES", "shape": [len(images)], "data": data}
    return json.dumps({"inputs": [tensor], **more}).encode()


def write_binary_v2(*images: bytes, **more: Any) -> tuple[bytes, str]:
    """Return a V2 request with images behind the JSON, and its header's value."""
    data = b"".join(struct.pack("<I", len(image)) + image for image in images)
    parameters = {"binary_data_size": len(data)}
    tensor = {"name": "image", "datatype": "BYTES", "shape": [len(images)], "parameters": parameters}
    head = json.dumps({"inputs": [tensor], **more}).encode()
    return head + data, str(len(head))
