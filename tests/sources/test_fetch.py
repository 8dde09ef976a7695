import datetime
import hashlib
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import fsspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.sources.http_server import Server, running
from unfreeze import files
from unfreeze.errors import UnfreezeError
from unfreeze.sources import addresses, answers, fetch, web

CONTENT = random.Random(0).randbytes(500_000)
DIGEST = hashlib.sha256(CONTENT).hexdigest()
# What one read may leave on the way when a line breaks.
LOST = answers.CHUNK

pytestmark = pytest.mark.usefixtures("no_patience")


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "downloads/set.zip"


def one_line(error: pytest.ExceptionInfo[UnfreezeError]) -> str:
    message = str(error.value)
    assert "\n" not in message
    return message


def refused(address: str, target: Path, sha256: str | None = None) -> str:
    """Return the message of a download that must fail, and require that no file appears."""
    with pytest.raises(UnfreezeError) as error:
        fetch.download(address, target, sha256=sha256)
    assert not target.exists()
    return one_line(error)


def test_a_file_comes_whole(server: Server, target: Path) -> None:
    server.add("set.zip", CONTENT)
    assert fetch.download(server.url("set.zip"), target, sha256=DIGEST) == DIGEST
    assert target.read_bytes() == CONTENT


def test_an_empty_file_comes(server: Server, target: Path) -> None:
    server.add("set.zip")
    assert fetch.download(server.url("set.zip"), target, sha256=None) == hashlib.sha256().hexdigest()


def test_after_a_break_only_the_rest_is_fetched(server: Server, target: Path) -> None:
    server.add("set.zip", CONTENT, break_after=[300_000, 100_000])
    assert fetch.download(server.url("set.zip"), target, sha256=None) == DIGEST
    assert [request.status for request in server.log] == [200, 206, 206]
    assert sum(request.sent for request in server.log) <= len(CONTENT) + 2 * LOST


def test_a_date_tells_the_version_where_there_is_no_etag(server: Server, target: Path) -> None:
    date = "Tue, 01 Apr 2025 10:00:00 GMT"
    server.add("set.zip", CONTENT, etag=None, modified=date, break_after=[300_000])
    assert fetch.download(server.url("set.zip"), target, sha256=None) == DIGEST
    assert [request.status for request in server.log] == [200, 206]


@pytest.mark.parametrize("etag", [None, 'W/"weak"'])
def test_without_a_sure_version_a_download_begins_anew(server: Server, target: Path, etag: str | None) -> None:
    server.add("set.zip", CONTENT, etag=etag, break_after=[300_000])
    assert fetch.download(server.url("set.zip"), target, sha256=None) == DIGEST
    assert [request.begin for request in server.log] == [None, None]


def test_a_server_without_ranges_sends_all_again(server: Server, target: Path) -> None:
    server.add("set.zip", CONTENT, ranges=False, break_after=[300_000])
    assert fetch.download(server.url("set.zip"), target, sha256=None) == DIGEST
    assert [request.status for request in server.log] == [200, 200]


@pytest.mark.parametrize("checks_version", [True, False])
def test_a_file_that_changes_between_tries_is_fetched_anew(
    server: Server, target: Path, checks_version: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    served = server.add("set.zip", CONTENT, break_after=[300_000], checks_version=checks_version)
    newer = random.Random(1).randbytes(len(CONTENT))
    monkeypatch.setattr(time, "sleep", lambda _: setattr(served, "content", newer))
    assert fetch.download(server.url("set.zip"), target, sha256=None) == hashlib.sha256(newer).hexdigest()


def test_many_breaks_are_borne_while_something_new_comes(server: Server, target: Path) -> None:
    server.add("set.zip", CONTENT, break_after=[70_000] * 6)
    assert fetch.download(server.url("set.zip"), target, sha256=None) == DIGEST
    assert len(server.log) == 7 > fetch.TRIES


def test_a_line_that_always_breaks_at_one_place_is_given_up(server: Server, target: Path) -> None:
    server.add("set.zip", CONTENT, etag=None, break_after=[70_000] * 99)
    message = refused(server.url("set.zip"), target)
    assert "could not be fetched" in message and "5 times" in message and "dvc repro" in message
    assert len(server.log) == 1 + fetch.TRIES - 1


def test_the_waits_double(server: Server, target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    monkeypatch.setattr(time, "sleep", waits.append)
    monkeypatch.setattr(fetch, "FIRST_WAIT", 1.0)
    server.add("set.zip", statuses=[503] * 99)
    refused(server.url("set.zip"), target)
    assert waits == [1, 2, 4, 8]


def test_a_stalled_line_is_left_and_the_download_goes_on(server: Server, target: Path) -> None:
    server.add("set.zip", CONTENT, stall_after=300_000)
    assert fetch.download(server.url("set.zip"), target, sha256=None) == DIGEST
    assert [request.status for request in server.log] == [200, 206]


@pytest.mark.parametrize("status", [503, 429, 408])
def test_a_busy_server_is_asked_again(server: Server, target: Path, status: int) -> None:
    server.add("set.zip", CONTENT, statuses=[status, status])
    assert fetch.download(server.url("set.zip"), target, sha256=None) == DIGEST


@pytest.mark.parametrize("status", [404, 403, 401, 410])
def test_a_refusal_is_final(server: Server, target: Path, status: int) -> None:
    server.add("set.zip", CONTENT, statuses=[status])
    message = refused(server.url("set.zip"), target)
    assert f"status {status}" in message and "check the address" in message and "data=folder" in message
    assert len(server.log) == 1


def test_a_closed_port_is_told_in_few_words(target: Path) -> None:
    message = refused("http://127.0.0.1:9/set.zip", target)
    assert "Connection refused" in message and "HTTPConnection" not in message


def test_a_length_that_promises_more_is_noticed(server: Server, target: Path) -> None:
    server.add("set.zip", CONTENT, declared=len(CONTENT) + 10)
    assert "could not be fetched" in refused(server.url("set.zip"), target)


def test_a_length_that_promises_less_is_noticed_by_the_digest(server: Server, target: Path) -> None:
    server.add("set.zip", CONTENT, declared=len(CONTENT) - 10)
    assert f"params.yaml expects {DIGEST}" in refused(server.url("set.zip"), target, DIGEST)


def test_a_partial_answer_from_elsewhere_is_not_appended(server: Server, target: Path) -> None:
    served = server.add("set.zip", CONTENT, break_after=[300_000], shift=7)
    assert fetch.download(server.url("set.zip"), target, sha256=None) == DIGEST
    assert served.content == target.read_bytes()
    assert [request.status for request in server.log] == [200, 206, 200]


def test_without_a_length_the_end_of_the_stream_counts(server: Server, target: Path) -> None:
    server.add("set.zip", CONTENT, chunked=True)
    assert fetch.download(server.url("set.zip"), target, sha256=None) == DIGEST


@pytest.mark.parametrize("kind", ["text/html", "text/html; charset=utf-8", "application/xhtml+xml"])
def test_a_web_page_is_no_archive(server: Server, target: Path, kind: str) -> None:
    server.add("set.zip", b"<html>please log in</html>", content_type=kind)
    message = refused(server.url("set.zip"), target)
    assert "is a web page" in message and "direct link" in message


def test_redirects_are_followed(server: Server, target: Path) -> None:
    server.add("old.zip", redirect="/set.zip")
    server.add("set.zip", CONTENT)
    assert fetch.download(server.url("old.zip"), target, sha256=None) == DIGEST


def test_a_loop_of_redirects_ends(server: Server, target: Path) -> None:
    server.add("a.zip", redirect="/b.zip")
    server.add("b.zip", redirect="/a.zip")
    assert "redirects" in refused(server.url("a.zip"), target)
    assert len(server.log) == web.MAX_REDIRECTS + 1


def certificate(path: Path) -> Path:
    """Write a key and a certificate for 127.0.0.1 that it signs itself."""
    import ipaddress

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    signed = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
        .sign(key, hashes.SHA256())
    )
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(secret + signed.public_bytes(serialization.Encoding.PEM))
    return path


def test_a_redirect_that_gives_up_encryption_is_refused(
    server: Server, target: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pem = certificate(tmp_path / "server.pem")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(pem))
    server.add("set.zip", CONTENT)
    with running(pem) as safe:
        safe.add("set.zip", redirect=server.url("set.zip"))
        safe.add("other.zip", CONTENT)
        assert "not encrypted" in refused(safe.url("set.zip"), target)
        assert fetch.download(safe.url("other.zip"), target, sha256=None) == DIGEST
    assert server.log == []


def test_a_certificate_nobody_vouches_for_is_told(target: Path, tmp_path: Path) -> None:
    with running(certificate(tmp_path / "server.pem")) as safe:
        safe.add("set.zip", CONTENT)
        assert "CERTIFICATE_VERIFY_FAILED" in refused(safe.url("set.zip"), target)


def test_a_wrong_digest_leaves_nothing(server: Server, target: Path) -> None:
    server.add("set.zip", CONTENT)
    message = refused(server.url("set.zip"), target, "0" * 64)
    assert DIGEST in message and "0" * 64 in message and "set data.sha256" in message
    assert list(target.parent.iterdir()) == []


def test_what_is_whole_already_is_not_fetched_again(server: Server, target: Path) -> None:
    server.add("set.zip", CONTENT)
    for _ in range(2):
        assert fetch.download(server.url("set.zip"), target, sha256=None) == DIGEST
    assert [request.status for request in server.log] == [200, 416]


def test_a_new_version_replaces_what_was_whole(server: Server, target: Path) -> None:
    server.add("set.zip", CONTENT)
    fetch.download(server.url("set.zip"), target, sha256=None)
    server.add("set.zip", b"new")
    fetch.download(server.url("set.zip"), target, sha256=None)
    assert target.read_bytes() == b"new"


def test_another_address_does_not_go_on_with_the_first_one_s_bytes(server: Server, target: Path) -> None:
    server.add("a.zip", b"a" * 1000, etag='"same"', break_after=[500] + [0] * 99)
    refused(server.url("a.zip"), target)
    server.add("b.zip", b"b" * 1000, etag='"same"')
    fetch.download(server.url("b.zip"), target, sha256=None)
    assert target.read_bytes() == b"b" * 1000


PROGRAM = """
import sys
from pathlib import Path
from unfreeze.sources import fetch
fetch.download(sys.argv[1], Path(sys.argv[2]), sha256=None)
"""


def test_after_kill_9_another_process_fetches_only_the_rest(server: Server, target: Path) -> None:
    server.add("set.zip", CONTENT, stall_after=300_000)
    command = [sys.executable, "-c", PROGRAM, server.url("set.zip"), str(target)]
    process = subprocess.Popen(command)
    partial = files.name_partial(target)
    ends = time.monotonic() + 60
    while not (partial.exists() and partial.stat().st_size > 200_000) and time.monotonic() < ends:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    come = partial.stat().st_size
    assert come > 200_000
    assert not target.exists()

    subprocess.run(command, check=True)
    assert target.read_bytes() == CONTENT
    assert [(request.begin, request.status) for request in server.log] == [(None, 200), (come, 206)]
    assert server.log[1].sent == len(CONTENT) - come


def test_a_damaged_note_on_the_version_begins_anew(server: Server, target: Path) -> None:
    server.add("set.zip", CONTENT)
    target.parent.mkdir()
    partial = files.name_partial(target)
    partial.write_bytes(b"something")
    partial.with_name(f"{partial.name}.json").write_text("{")
    assert fetch.download(server.url("set.zip"), target, sha256=None) == DIGEST


def test_a_full_disk_is_found_before_the_download(
    server: Server, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files, "require_space", full)
    server.add("set.zip", CONTENT)
    with pytest.raises(OSError, match="No space left"):
        fetch.download(server.url("set.zip"), target, sha256=None)
    assert len(server.log) == 1


def test_progress_is_shown_in_megabytes(
    server: Server, target: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(fetch, "SHOWN_FROM", 1)
    monkeypatch.setattr(fetch, "MEGABYTE", 1000)
    monkeypatch.setattr("unfreeze.runtime.console.SECONDS_BETWEEN_LINES", 0.0)
    server.add("set.zip", CONTENT)
    with caplog.at_level("INFO", "unfreeze"):
        fetch.download(server.url("set.zip"), target, sha256=None)
    assert "MB: 500 of 500" in caplog.text


@pytest.mark.parametrize(
    "address",
    [
        "https://me:hunter2@example.org/set.zip",
        "webdav://me:hun/ter2@example.org/set",
        "https://me:@example.org/hunter2",
        "ftp://me:1hunter2@[::1]/set.zip",
        "simplecache::ftp://me:hunter2@example.org/set.zip",
    ],
)
def test_an_address_with_a_password_is_refused_and_not_shown(address: str, target: Path) -> None:
    message = refused(address, target)
    assert "holds a password" in message and "environment" in message
    assert "ter2@" not in message and "me:" not in message


@pytest.mark.parametrize(
    "address",
    [
        "http://example.org:8080/icons@2x.zip",
        "memory://user@host/x",
        "http://[::1]:80/a@b",
        "https://example.org/a:b@c",
    ],
)
def test_an_address_without_a_password_passes(address: str) -> None:
    addresses.check_address(address)


def test_a_signed_address_is_not_shown_in_full(server: Server, target: Path) -> None:
    message = refused(server.url("none.zip?signature=hunter2"), target)
    assert "none.zip" in message and "hunter2" not in message
    closed = refused("http://127.0.0.1:9/set.zip?signature=hunter2", target)
    assert "hunter2" not in closed


def test_a_missing_package_is_named(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "s3fs", None)
    # fsspec keeps what an earlier test imported.
    monkeypatch.delitem(sys.modules["fsspec.registry"]._registry, "s3", raising=False)
    message = refused("s3://bucket/set.zip", target)
    assert "Install s3fs" in message and "pip install" in message


def test_an_unknown_protocol_is_named(target: Path) -> None:
    assert "unknown protocol 'htps'" in refused("htps://example.org/set.zip", target)


def test_a_file_comes_through_fsspec(memory: fsspec.AbstractFileSystem, target: Path) -> None:
    memory.pipe("/bucket/set.zip", CONTENT)
    assert fetch.download("memory://bucket/set.zip", target, sha256=DIGEST) == DIGEST
    assert target.read_bytes() == CONTENT


def test_a_break_in_fsspec_is_resumed(
    memory: fsspec.AbstractFileSystem, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory.pipe("/bucket/set.zip", CONTENT)
    reads: list[int] = []
    read = fsspec.implementations.memory.MemoryFile.read

    def breaking(self: fsspec.implementations.memory.MemoryFile, size: int) -> bytes:
        reads.append(self.tell())
        if len(reads) == 3:
            raise ConnectionError("reset by peer")
        return bytes(read(self, size))

    monkeypatch.setattr(fsspec.implementations.memory.MemoryFile, "read", breaking)
    assert fetch.download("memory://bucket/set.zip", target, sha256=None) == DIGEST
    assert reads[:4] == [0, LOST, 2 * LOST, 2 * LOST]


def test_a_file_that_fsspec_does_not_find_is_named_at_once(
    memory: fsspec.AbstractFileSystem, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "sleep", lambda _: pytest.fail("a missing file is not waited for"))
    assert "memory://bucket/none.zip could not be fetched" in refused("memory://bucket/none.zip", target)


def tree(folder: Path) -> dict[str, bytes]:
    """Return the files of a folder, without hidden ones."""
    paths = [path for path in folder.rglob("*") if path.is_file() and not path.name.startswith(".")]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def test_a_folder_comes_through_fsspec(memory: fsspec.AbstractFileSystem, tmp_path: Path) -> None:
    content = {"cat/1.png": b"1", "cat/more/2.png": b"22", "café/3 ?#%.png": b"333"}
    for name, value in content.items():
        memory.pipe(f"/bucket/set/{name}", value)
    folder, digest = fetch.download_folder("memory://bucket/set", tmp_path)
    assert tree(folder) == content
    memory.pipe("/bucket/set/cat/1.png", b"2")
    _, changed = fetch.download_folder("memory://bucket/set/", tmp_path)
    assert changed != digest


def test_names_as_long_as_they_may_be_are_fetched_and_resumed(
    memory: fsspec.AbstractFileSystem, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Each has a file beside it while it comes, with a longer name.
    content = {f"cat/{'d' * (size - 4)}.jpg": b"%d" % size for size in (230, 232, 241, 242, 246, 250, 255)}
    content |= {f"cat/{'é' * 125}{end}.jpg": end.encode() for end in "ab"}
    for name, value in content.items():
        memory.pipe(f"/bucket/set/{name}", value)
    folder, _ = fetch.download_folder("memory://bucket/set", tmp_path)
    assert tree(folder) == content
    assert max(len(path.name.encode()) for path in folder.rglob("*")) == 255
    # What has come is known by the notes beside it.
    monkeypatch.setattr(fetch, "_receive", lambda answer, partial: [*answer.chunks] and pytest.fail("fetched again"))
    fetch.download_folder("memory://bucket/set", tmp_path)


def test_what_left_a_remote_folder_leaves_here_too(memory: fsspec.AbstractFileSystem, tmp_path: Path) -> None:
    memory.pipe("/set/cat/1.png", b"1")
    memory.pipe("/set/cat/2.png", b"2")
    fetch.download_folder("memory://set", tmp_path)
    memory.rm("/set/cat/2.png")
    folder, _ = fetch.download_folder("memory://set", tmp_path)
    assert tree(folder) == {"cat/1.png": b"1"}


def test_an_unsafe_name_in_a_remote_folder_is_refused(memory: fsspec.AbstractFileSystem, tmp_path: Path) -> None:
    memory.pipe("/set/cat\\..\\1.png", b"1")
    with pytest.raises(UnfreezeError, match="holds a backslash: rename it there") as error:
        fetch.download_folder("memory://set", tmp_path)
    one_line(error)


def test_a_folder_on_the_web_is_refused_with_what_works(tmp_path: Path) -> None:
    with pytest.raises(UnfreezeError, match=r"no folder that can be listed.*-S data=archive") as error:
        fetch.download_folder("https://example.org/set", tmp_path)
    one_line(error)
