"""What the service refuses, so that no client can take it from the others."""

import asyncio
import hmac
import json
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any

from unfreeze.serving.service.counters import Counters

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]

# Answers that hold nothing of the model: the page, and what load balancers ask.
OPEN_PATHS = ("/", "/v2/health/live", "/v2/health/ready")
EXPLAIN = "/explain"
LOOPBACK = ("127.0.0.1", "localhost", "::1")
# How much of a refused body is read and dropped, as multiples of the limit, so that a client sees the answer.
DRAINED = 4


@dataclass(frozen=True)
class Limits:
    """What one request may take, and how many there may be.

    Args:
        body: Bytes of a request's body.
        pixels: Of an image, width times height.
        files: Images of a request.
        concurrent: Requests with a body that are worked on or wait.
        seconds: For the answer, once the request is received.
        seconds_to_explain: The same for Grad-CAM, whose process starts first.
        seconds_to_send: For sending the whole request.
        seconds_to_decode: For an image that is decoded in a process of its own.
        gigabytes_to_decode: Memory of such a process beyond what it has at its start, GB of 10^9 bytes.
    """

    body: int = 20_000_000
    pixels: int = 50_000_000
    files: int = 32
    concurrent: int = 64
    seconds: float = 30.0
    seconds_to_explain: float = 120.0
    seconds_to_send: float = 15.0
    seconds_to_decode: float = 20.0
    gigabytes_to_decode: float = 4.0


class Refusal(Exception):  # noqa: N818
    """A request that is not answered with a result.

    Args:
        status: Status code of HTTP.
        reason: What was received, what was expected, and what to do; one line.
        kind: What the counter calls it.
    """

    def __init__(self, status: int, reason: str, kind: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason
        self.kind = kind

    @property
    def headers(self) -> dict[str, str]:
        """The headers of the answer."""
        if self.status == 503:
            return {"Retry-After": "1"}
        return {"WWW-Authenticate": "Bearer"} if self.status == 401 else {}


class Guard:
    """Middleware: lets in who may ask, receives bodies within the limits, and ends what takes too long.

    The app sees a request only when its body is whole.

    Args:
        app: What is guarded.
        limits: The limits.
        counters: Counts what is refused.
        token: What clients must send as bearer token; None for a service of this machine alone, which then answers
            only requests to a loopback name, so that pages of other sites cannot reach it under a name of theirs.
    """

    def __init__(self, app: App, *, limits: Limits, counters: Counters, token: str | None) -> None:
        self._app = app
        self._limits = limits
        self._counters = counters
        self._token = token
        self._running = 0

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer a request, as ASGI has it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def count(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._counters.count_request(scope["path"], message["status"])
            await send(message)

        try:
            self._require_permission(scope)
            if scope["method"] in ("GET", "HEAD"):
                await self._app(scope, receive, count)
            else:
                await self._run(scope, receive, count)
        except Refusal as refusal:
            self._counters.count_refusal(refusal.kind)
            await self._answer_refusal(refusal, receive, count)

    def _require_permission(self, scope: Message) -> None:
        headers = dict(scope["headers"])
        if self._token is None:
            host = headers.get(b"host", b"").decode("latin-1")
            if split_host(host) not in LOOPBACK:
                raise Refusal(421, f"host {host[:80]!r} is not this machine: ask {' or '.join(LOOPBACK[:2])}", "host")
        elif scope["path"] not in OPEN_PATHS:
            given = headers.get(b"authorization", b"")
            if not hmac.compare_digest(given, b"Bearer " + self._token.encode()):
                raise Refusal(401, "send the service's token: Authorization: Bearer TOKEN", "token")

    async def _run(self, scope: Message, receive: Receive, send: Send) -> None:
        if self._running >= self._limits.concurrent:
            raise Refusal(503, f"{self._running} requests are worked on already: try again soon", "busy")
        self._running += 1
        self._counters.set_running(self._running)
        try:
            with self._counters.measure("receive"):
                body = await self._receive_body(scope, receive)
            if body is not None:
                await self._work(scope, body, receive, send)
        finally:
            self._running -= 1
            self._counters.set_running(self._running)

    async def _receive_body(self, scope: Message, receive: Receive) -> bytes | None:
        """Return the body; None where the client leaves first."""
        most = self._limits.body
        declared = dict(scope["headers"]).get(b"content-length", b"0")
        if not declared.isdigit() or len(declared) > 15 or int(declared) > most:
            raise Refusal(413, f"the body is larger than {most:,} bytes: send smaller or fewer images", "body")
        parts: list[bytes] = []
        size = 0
        try:
            async with asyncio.timeout(self._limits.seconds_to_send):
                while True:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        self._counters.count_refusal("left")
                        return None
                    parts.append(message.get("body", b""))
                    size += len(parts[-1])
                    if size > most:
                        raise Refusal(
                            413, f"the body is larger than {most:,} bytes: send smaller or fewer images", "body"
                        )
                    if not message.get("more_body"):
                        return b"".join(parts)
        except TimeoutError:
            seconds = self._limits.seconds_to_send
            raise Refusal(408, f"the request was not whole after {seconds:g} s: send it faster", "slow") from None

    async def _work(self, scope: Message, body: bytes, receive: Receive, send: Send) -> None:
        """Run the app on a whole request until it has answered, the client has left, or the time is up."""
        began = ended = False

        async def note(message: Message) -> None:
            nonlocal began, ended
            began = True
            ended = message["type"] == "http.response.body" and not message.get("more_body")
            await send(message)

        async def replay() -> Message:
            return {"type": "http.request", "body": body, "more_body": False}

        seconds = self._limits.seconds_to_explain if scope["path"] == EXPLAIN else self._limits.seconds
        work = asyncio.ensure_future(self._app(scope, replay, note))
        leaving = asyncio.ensure_future(receive())
        try:
            await asyncio.wait({work, leaving}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
            if work.done() or ended:
                await work
            elif leaving.done():
                self._counters.count_refusal("left")
            elif not began:
                raise Refusal(503, f"the answer took longer than {seconds:g} s: try again later", "time")
        finally:
            for task in (work, leaving):
                task.cancel()
            await asyncio.gather(work, leaving, return_exceptions=True)

    async def _answer_refusal(self, refusal: Refusal, receive: Receive, send: Send) -> None:
        """Answer, read a part of what the client still sends so that it comes to read the answer, and hang up."""
        body = json.dumps({"error": refusal.reason}).encode()
        headers = {
            "Content-Type": "application/json",
            "Content-Length": str(len(body)),
            "Connection": "close",
            **refusal.headers,
        }
        pairs = [(name.lower().encode(), value.encode("latin-1")) for name, value in headers.items()]
        await send({"type": "http.response.start", "status": refusal.status, "headers": pairs})
        await send({"type": "http.response.body", "body": body, "more_body": True})
        if refusal.status != 408:
            await self._drain(receive)
        await send({"type": "http.response.body", "body": b""})

    async def _drain(self, receive: Receive) -> None:
        dropped = 0
        try:
            async with asyncio.timeout(self._limits.seconds_to_send):
                while dropped <= DRAINED * self._limits.body:
                    message = await receive()
                    dropped += len(message.get("body", b""))
                    if message["type"] == "http.disconnect" or not message.get("more_body"):
                        return
        except TimeoutError:
            return


def split_host(host: str) -> str:
    """Return the name in a Host header, without its port.

    >>> split_host("localhost:8000"), split_host("[::1]:8000"), split_host("127.0.0.1")
    ('localhost', '::1', '127.0.0.1')
    """
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0].lower()
