"""A web server for tests that misbehaves as told, and keeps a log of what it was asked and what it sent."""

import contextlib
import hashlib
import http.server
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass
class Served:
    """One address and how it behaves.

    Args:
        content: The file's bytes.
        etag: Its ETag; empty for the content's digest, None for none.
        modified: Its Last-Modified.
        content_type: As sent; None for no header.
        statuses: Answers before the first proper one, one a request.
        break_after: For each request, bytes after which the connection is closed; a request without one gets all.
        stall_after: Bytes after which nothing more comes, once.
        declared: A Content-Length that is a lie.
        redirect: Where it sends every request.
        ranges: Whether Range is understood.
        checks_version: Whether If-Range is.
        shift: By how many bytes a partial answer begins elsewhere than it should.
        chunked: Send no Content-Length.
    """

    content: bytes = b""
    etag: str | None = ""
    modified: str | None = None
    content_type: str | None = "application/octet-stream"
    statuses: list[int] = field(default_factory=list)
    break_after: list[int] = field(default_factory=list)
    stall_after: int | None = None
    declared: int | None = None
    redirect: str | None = None
    ranges: bool = True
    checks_version: bool = True
    shift: int = 0
    chunked: bool = False

    def version(self) -> str | None:
        return f'"{hashlib.md5(self.content).hexdigest()}"' if self.etag == "" else self.etag


@dataclass
class Request:
    """One line of the log: the path, from where bytes were asked for, the status, and how many were sent."""

    path: str
    begin: int | None
    status: int = 0
    sent: int = 0


class Server:
    """Serves `files` by path until the block ends."""

    def __init__(self, scheme: str, port: int) -> None:
        self.address = f"{scheme}://127.0.0.1:{port}"
        self.files: dict[str, Served] = {}
        self.log: list[Request] = []
        self.closing = threading.Event()

    def add(self, path: str, content: bytes = b"", **behaviour: Any) -> Served:
        """Serve a file and return what can be changed about it."""
        self.files[f"/{path}"] = Served(content, **behaviour)
        return self.files[f"/{path}"]

    def url(self, path: str) -> str:
        return f"{self.address}/{path}"


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: "_HttpServer"

    def do_GET(self) -> None:  # noqa: N802 (the library's name)
        path = self.path.partition("?")[0]
        served = self.server.told.files.get(path)
        given = self.headers.get("Range", "").removeprefix("bytes=").removesuffix("-")
        entry = Request(path, int(given) if given else None)
        self.server.told.log.append(entry)
        if served is None:
            self._empty(entry, 404)
        elif served.statuses:
            self._empty(entry, served.statuses.pop(0))
        elif served.redirect is not None:
            self._empty(entry, 302, Location=served.redirect)
        else:
            self._send(served, entry)

    def _empty(self, entry: Request, status: int, **headers: str) -> None:
        entry.status = status
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _send(self, served: Served, entry: Request) -> None:
        same = not served.checks_version or self.headers.get("If-Range") in {served.version(), served.modified}
        partial = entry.begin is not None and served.ranges and same
        begin = (entry.begin or 0) - served.shift if partial else 0
        if partial and begin >= len(served.content):
            self._empty(entry, 416, **{"Content-Range": f"bytes */{len(served.content)}"})
            return
        body = served.content[begin:]
        entry.status = 206 if partial else 200
        self.send_response(entry.status)
        for name, value in (
            ("ETag", served.version()),
            ("Last-Modified", served.modified),
            ("Content-Type", served.content_type),
        ):
            if value is not None:
                self.send_header(name, value)
        if partial:
            self.send_header("Content-Range", f"bytes {begin}-{len(served.content) - 1}/{len(served.content)}")
        if not served.chunked:
            self.send_header("Content-Length", str(len(body) if served.declared is None else served.declared))
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True
        stop = served.break_after.pop(0) if served.break_after else served.stall_after
        with contextlib.suppress(ConnectionError):
            self.wfile.write(body[:stop])
            entry.sent = len(body[:stop])
            if stop is not None and stop == served.stall_after:
                served.stall_after = None
                self.server.told.closing.wait()

    def log_message(self, *arguments: object) -> None:
        """Keep quiet: the log is a list."""


class _HttpServer(http.server.ThreadingHTTPServer):
    daemon_threads = True
    told: Server


@contextlib.contextmanager
def running(certificate: Path | None = None) -> Iterator[Server]:
    """Run a server on a free port, with TLS if a file with a key and a certificate is given."""
    with _HttpServer(("127.0.0.1", 0), _Handler) as server:
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            server.socket = context.wrap_socket(server.socket, server_side=True)
        server.told = Server("http" if certificate is None else "https", server.server_port)
        # The default looks every half second for the end.
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield server.told
        server.told.closing.set()
        server.shutdown()
