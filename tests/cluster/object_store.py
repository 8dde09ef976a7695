"""A server of objects as S3 has them, on the loopback address, that refuses what it is told to refuse."""

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.cluster.ray_nodes import MISSING
from unfreeze.runtime import remote_folder


@dataclass
class Objects:
    """What the server holds, and how it behaves.

    Args:
        port: Where it listens.
        content: Bytes of each object by its path, `/bucket/key`.
        room: Bytes that it takes in all; past them it answers 507, Insufficient Storage.
        readers: Access keys that may only read.
        fails: Status of every answer; 0 for proper answers.
    """

    port: int = 0
    content: dict[str, bytes] = field(default_factory=dict)
    room: int = 10**9
    readers: set[str] = field(default_factory=set)
    fails: int = 0

    @property
    def environment(self) -> dict[str, str]:
        """Return what a process needs to use it."""
        return {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.port}",
            "AWS_ACCESS_KEY_ID": "writer",
            "AWS_SECRET_ACCESS_KEY": "hunter2",
            "AWS_DEFAULT_REGION": "us-east-1",
            "NO_PROXY": "127.0.0.1",
        }


@contextmanager
def use_objects(objects: Objects) -> Iterator[None]:
    """Let this process and those that it starts use a server while the block runs; skips where its client is not."""
    pytest.importorskip("s3fs", reason=MISSING)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in objects.environment.items():
            patch.setenv(name, value)
        forget_connections()
        try:
            yield
        finally:
            forget_connections()


def forget_connections() -> None:
    """Let this process connect again, as a new one does."""
    import s3fs

    remote_folder._open.cache_clear()
    s3fs.S3FileSystem.clear_instance_cache()


@contextmanager
def serve_objects() -> Iterator[Objects]:
    """Serve until the block ends."""
    objects = Objects()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self, status: int, body: bytes = b"", *, etag: str = "") -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            if etag:
                self.send_header("ETag", f'"{etag}"')
                self.send_header("Last-Modified", "Thu, 01 Jan 2026 00:00:00 GMT")
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def refuse(self, status: int, code: str) -> None:
            self.answer(status, f"<Error><Code>{code}</Code><Message>{code}</Message></Error>".encode())

        def list_objects(self, bucket: str) -> bytes:
            asked = parse_qs(urlsplit(self.path).query)
            prefix, delimiter = (asked.get(name, [""])[0] for name in ("prefix", "delimiter"))
            files, folders = [], set()
            for path, body in sorted(objects.content.items()):
                key = path.removeprefix(f"{bucket}/")
                below = key.removeprefix(prefix)
                if not key.startswith(prefix) or key == path:
                    continue
                if delimiter and delimiter in below:
                    folders.add(f"{prefix}{below.partition(delimiter)[0]}{delimiter}")
                else:
                    tag = hashlib.md5(body).hexdigest()
                    files.append(f"<Key>{key}</Key><Size>{len(body)}</Size><ETag>{tag}</ETag>")
            listed = "".join(f"<Contents>{file}</Contents>" for file in files)
            listed += "".join(
                f"<CommonPrefixes><Prefix>{folder}</Prefix></CommonPrefixes>" for folder in sorted(folders)
            )
            count = f"<KeyCount>{len(files) + len(folders)}</KeyCount>"
            return f"<ListBucketResult>{count}{listed}</ListBucketResult>".encode()

        def do_PUT(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            path = urlsplit(self.path).path
            if objects.fails:
                self.refuse(objects.fails, "Broken")
            elif any(f"Credential={key}/" in self.headers["Authorization"] for key in objects.readers):
                self.refuse(403, "AccessDenied")
            elif sum(map(len, objects.content.values())) + len(body) > objects.room:
                self.refuse(507, "InsufficientStorage")
            else:
                if path.count("/") > 1:
                    objects.content[path] = body
                self.answer(200, etag=hashlib.md5(body).hexdigest())

        def do_GET(self) -> None:
            path = urlsplit(self.path).path
            body = objects.content.get(path)
            if objects.fails:
                self.refuse(objects.fails, "Broken")
            elif body is not None:
                self.answer(200, body, etag=hashlib.md5(body).hexdigest())
            elif path.rstrip("/").count("/") == 1:
                self.answer(200, self.list_objects(path.rstrip("/")))
            else:
                self.refuse(404, "NoSuchKey")

        def do_HEAD(self) -> None:
            self.do_GET()

        def do_DELETE(self) -> None:
            objects.content.pop(urlsplit(self.path).path, None)
            self.answer(204)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    objects.port = server.server_address[1]
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield objects
    finally:
        server.shutdown()
        server.server_close()
