"""The service as a process: a socket, uvicorn, and the thread that watches for new versions."""

import asyncio
import errno
import logging
import os
import socket
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import h11
import uvicorn
from threadpoolctl import threadpool_limits
from uvicorn.protocols.http.h11_impl import H11Protocol

from unfreeze.errors import UnfreezeError
from unfreeze.runtime import console
from unfreeze.runtime.processors import count_processors
from unfreeze.serving.locate import Located
from unfreeze.serving.service.app import Service
from unfreeze.serving.service.counters import Counters
from unfreeze.serving.service.decoders import Decoders
from unfreeze.serving.service.limits import LOOPBACK, Limits
from unfreeze.serving.service.reload import Watcher
from unfreeze.serving.service.served import Served, Shelf

TOKEN = "UNFREEZE_TOKEN"  # noqa: S105
MOST_CONNECTIONS = 500
SECONDS_TO_END = 10
LARGEST_PORT = 65_535


def choose_token(host: str, environment: dict[str, str] | None = None) -> str | None:
    """Return the token that clients must send; None where none is needed.

    Args:
        host: Where the service listens.
        environment: The environment's variables; by default this process's.

    Raises:
        UnfreezeError: Other machines could reach the service, and there is no token, or an unfit one.
    """
    token = (os.environ if environment is None else environment).get(TOKEN, "")
    if token and (not token.isascii() or not token.isprintable() or " " in token):
        raise UnfreezeError(f"{TOKEN} holds characters that no header takes: use letters and digits")
    if not token and host not in LOOPBACK:
        raise UnfreezeError(
            f"host {host} can be reached from other machines: set {TOKEN} to a secret that clients must send, "
            f"such as {TOKEN}=$(openssl rand -hex 24), or leave out --host"
        )
    return token or None


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens.

    Args:
        host: A name or an address of this machine.
        port: 0 takes any that is free.

    Raises:
        UnfreezeError: The port is in use, or the host is not this machine's.
    """
    if not 0 <= port <= LARGEST_PORT:
        raise UnfreezeError(f"port {port} does not exist: name one from 1 to {LARGEST_PORT:,}")
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        made = socket.create_server((host, port), family=family, backlog=MOST_CONNECTIONS)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise UnfreezeError(f"port {port} is in use: name another one with --port") from error
        reason = error.strerror or str(error)
        raise UnfreezeError(f"cannot listen on {host}, port {port} ({reason}): name others") from error
    # Connections inherit it. Without it an answer's body waits 40 ms for the client to confirm the header; asyncio
    # sets it only on sockets that name their protocol, and this one does not.
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return made


def serve(
    located: Located,
    listening: socket.socket,
    *,
    token: str | None,
    watch: Callable[[], Located] | None = None,
    seconds: float = 10.0,
    limits: Limits | None = None,
) -> None:
    """Answer requests until the process is told to end.

    Args:
        located: The model.
        listening: The socket.
        token: What clients must send; None if nothing.
        watch: Says which version is wanted; None for a model that is never exchanged.
        seconds: Between two questions which version is wanted.
        limits: What a request may take.

    Raises:
        UnfreezeError: The model cannot be loaded.
    """
    # Products with the reference images are small: more threads of the library only compete with OpenVINO's.
    threadpool_limits(1, user_api="blas")
    counters, limits = Counters(), limits or Limits()
    with ExitStack() as ending:
        decoders = Decoders(counters, limits=limits, processes=count_processors())
        ending.callback(decoders.end)
        # They load their libraries while the model is loaded.
        decoders.start()
        shelf = Shelf(Served.load(located, counters), counters)
        service = Service(shelf, counters, decoders, limits=limits, token=token)
        ending.callback(service.end)
        if watch:
            watcher = Watcher(watch, shelf, counters, seconds=seconds)
            ending.callback(watcher.end)
            watcher.start()
        build_server(service, lambda: _announce(shelf.current, listening)).run(sockets=[listening])


class _Server(uvicorn.Server):
    """Uvicorn's server, which says when it answers and when signals end it as they should, not before."""

    def __init__(self, config: uvicorn.Config, announce: Callable[[], None]) -> None:
        super().__init__(config)
        self._announce = announce

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._announce()


def build_server(service: Service, announce: Callable[[], None] = lambda: None) -> uvicorn.Server:
    """Return uvicorn's server of a service.

    Args:
        service: The service.
        announce: Called once it answers.
    """
    # It warns of each form that is broken.
    logging.getLogger("python_multipart").setLevel(logging.ERROR)
    config = uvicorn.Config(
        service.guarded,
        http=_build_protocol(2 * service.limits.seconds_to_send),
        ws="none",
        lifespan="off",
        log_config=None,
        log_level="error",
        access_log=False,
        server_header=False,
        limit_concurrency=MOST_CONNECTIONS,
        timeout_graceful_shutdown=SECONDS_TO_END,
    )
    return _Server(config, announce)


def _announce(served: Served, listening: socket.socket) -> None:
    host, port = listening.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    version = f" version {served.located.version}" if served.located.version else ""
    console.log.info("%s%s answers on http://%s:%d", served.name, version, shown, port)


def _build_protocol(seconds: float) -> type[asyncio.Protocol]:
    """Return uvicorn's protocol, which also hangs up where a request is not whole after so many seconds."""

    class Protocol(H11Protocol):
        def __init__(self, *given: Any, **named: Any) -> None:
            super().__init__(*given, **named)
            self.deadline: asyncio.TimerHandle | None = None

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            self.deadline = self.loop.call_later(seconds, self.transport.abort)

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            is_whole = self.conn.their_state not in (h11.IDLE, h11.SEND_BODY)
            if is_whole and self.deadline:
                self.deadline.cancel()
                self.deadline = None
            elif not is_whole and not self.deadline:
                self.deadline = self.loop.call_later(seconds, self.transport.abort)

        def connection_lost(self, exc: Exception | None) -> None:
            if self.deadline:
                self.deadline.cancel()
            super().connection_lost(exc)

    return Protocol
