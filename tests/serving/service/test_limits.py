"""A client that takes too much is refused, and the others are answered meanwhile."""

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from tests.serving.packed import draw_image
from tests.serving.service.running import Answer, Running, run_service
from tests.serving.service.test_app import encode
from unfreeze.serving.service.limits import Limits
from unfreeze.serving.service.server import listen

IMAGE = encode(draw_image("red", 0), "PNG")
TIGHT = replace(Limits(), body=100_000, concurrent=3, seconds=20.0, seconds_to_send=0.5)


@pytest.fixture(scope="module")
def tight(packed: Path) -> Iterator[Running]:
    with run_service(packed, limits=TIGHT) as one:
        yield one


def is_answered(running: Running) -> bool:
    return running.ask("/predict", IMAGE).status == 200


def begin(running: Running, length: int, path: str = "/predict") -> socket.socket:
    """Send a request's header, which promises a body."""
    client = running.connect()
    client.sendall(f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n".encode())
    return client


def read(client: socket.socket) -> bytes:
    """Return all that a server sends until it hangs up."""
    parts = []
    while part := client.recv(65_536):
        parts.append(part)
    return b"".join(parts)


def wait_until(holds: Callable[[], bool]) -> None:
    ended = threading.Event()
    for _ in range(2000):
        if holds():
            return
        ended.wait(0.01)
    raise AssertionError("it does not come to hold")


def test_a_body_beyond_the_limit_is_refused_before_it_is_sent(tight: Running) -> None:
    said = begin(tight, 10**12).makefile("rb").readline()
    assert said.startswith(b"HTTP/1.1 413 ")
    assert is_answered(tight)


def test_a_body_of_unknown_length_is_refused_at_the_limit(tight: Running) -> None:
    client = tight.connect()
    client.sendall(b"POST /predict HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n")
    for _ in range(11):
        client.sendall(b"2710\r\n" + b"x" * 10_000 + b"\r\n")
    client.sendall(b"0\r\n\r\n")
    said = read(client)
    assert said.startswith(b"HTTP/1.1 413 ")
    assert b"the body is larger than 100,000 bytes" in said


def test_a_client_that_sent_all_of_a_large_body_sees_why_it_is_refused(tight: Running) -> None:
    answer = tight.ask("/predict", b"x" * 300_000)
    assert (answer.status, answer.headers["connection"]) == (413, "close")
    assert "larger than 100,000 bytes" in answer.json["error"]


def test_who_sends_slowly_is_told_and_hung_up_on(tight: Running) -> None:
    clients = [begin(tight, 5000) for _ in range(2)]
    assert is_answered(tight)
    for client in clients:
        said = read(client)
        assert said.startswith(b"HTTP/1.1 408 ")
        assert b"the request was not whole after 0.5 s: send it faster" in said
    assert tight.count('unfreeze_refusals_total{reason="slow"}') >= 2


def test_half_a_header_holds_no_connection(tight: Running) -> None:
    client = tight.connect()
    client.sendall(b"POST /predict HTTP/1.1\r\nHost: loc")
    assert is_answered(tight)
    with suppress(ConnectionResetError):
        assert read(client) == b""


def test_more_requests_than_the_limit_are_told_to_come_again(tight: Running) -> None:
    waiting = [begin(tight, 5000) for _ in range(TIGHT.concurrent)]
    wait_until(lambda: tight.count("unfreeze_running_requests") == TIGHT.concurrent)
    answer = tight.ask("/predict", IMAGE)
    assert (answer.status, answer.headers["retry-after"]) == (503, "1")
    assert answer.json["error"] == "3 requests are worked on already: try again soon"
    # What only looks is answered always.
    assert tight.ask("/v2/health/ready").status == tight.ask("/metrics").status == 200
    for client in waiting:
        client.close()
    wait_until(lambda: tight.count("unfreeze_running_requests") == 0)
    assert is_answered(tight)


def test_a_client_that_leaves_harms_nobody(tight: Running) -> None:
    before = tight.count('unfreeze_refusals_total{reason="left"}')
    for sent in (IMAGE[:50], IMAGE):
        client = begin(tight, len(IMAGE))
        client.sendall(sent)
        client.close()
    wait_until(lambda: tight.count('unfreeze_refusals_total{reason="left"}') > before)
    wait_until(lambda: tight.count("unfreeze_running_requests") == 0)
    assert is_answered(tight)


def test_an_answer_that_takes_too_long_is_given_up(packed: Path) -> None:
    with run_service(packed, limits=replace(Limits(), seconds=0.0)) as running:
        answer = running.ask("/predict", IMAGE)
        assert (answer.status, answer.headers["retry-after"]) == (503, "1")
        assert "the answer took longer than 0 s" in answer.json["error"]
        wait_until(lambda: running.count("unfreeze_running_requests") == 0)
        assert running.ask("/v2/health/ready").status == 200


def test_a_bomb_is_refused_while_others_are_answered(running: Running) -> None:
    from PIL import Image

    bomb = encode(Image.new("1", (30_000, 30_000)), "PNG")
    answers: list[Answer] = []
    threads = [threading.Thread(target=lambda: answers.append(running.ask("/predict", bomb))) for _ in range(4)]
    for thread in threads:
        thread.start()
    assert is_answered(running)
    for thread in threads:
        thread.join()
    assert [answer.status for answer in answers] == [422] * 4
    assert "30000 x 30000 pixels are more than 1,000,000" in answers[0].json["error"]


def test_several_requests_go_over_one_connection(running: Running) -> None:
    client = running.connect()
    stream = client.makefile("rb")
    head = f"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(IMAGE)}\r\n\r\n".encode()
    # The second request is sent before the first one is answered.
    client.sendall((head + IMAGE) * 2)
    for _ in range(2):
        assert stream.readline().startswith(b"HTTP/1.1 200")
        length = 0
        while (line := stream.readline()) != b"\r\n":
            if line.lower().startswith(b"content-length:"):
                length = int(line.split(b":")[1])
        assert json.loads(stream.read(length))["predictions"]


def test_the_body_of_an_answer_does_not_wait_for_the_client_to_confirm_its_header() -> None:
    with listen("127.0.0.1", 0) as listening, socket.create_connection(listening.getsockname()):
        accepted, _ = listening.accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
