"""`unfreeze serve` as a user starts it."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.conftest import INSTALLED
from unfreeze import files

MOST_MEGABYTES = 700
ENVIRONMENT = {**os.environ, "PATH": INSTALLED}


@contextmanager
def serving(folder: Path, *options: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Start the command at any free port; gives its process and its address."""
    process = subprocess.Popen(
        ["unfreeze", "serve", "--port", "0", *options], cwd=folder, env=ENVIRONMENT, stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stderr
        line = process.stderr.readline()
        found = re.search(r"http://\S+", line)
        assert found, line
        yield process, found[0]
    finally:
        process.kill()
        process.wait()


def fail(folder: Path, *options: str, environment: Mapping[str, str] = ENVIRONMENT) -> str:
    """Return what the command says, which must be one line and the end of it."""
    command = ["unfreeze", "serve", *options]
    ended = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120)
    assert ended.returncode == 1, ended.stderr
    assert ended.stderr.count("\n") == 1
    return ended.stderr


def test_it_is_ready_without_tensorflow_and_pandas(packed: Path, tmp_path: Path) -> None:
    with serving(tmp_path, "--model", str(packed)) as (process, address):
        assert urllib.request.urlopen(f"{address}/v2/health/ready").status == 200
        image = (packed.parents[1] / "raw/red/0.png").read_bytes()
        assert b'"class"' in urllib.request.urlopen(f"{address}/predict", image).read()
        mapped = Path(f"/proc/{process.pid}/maps").read_text()
        assert not re.search(r"site-packages/(tensorflow|pandas|scipy|sklearn)/", mapped)
        assert "/openvino/" in mapped
        status = Path(f"/proc/{process.pid}/status").read_text()
        peak = re.search(r"VmHWM:\s+(\d+) kB", status)
        assert peak
        assert int(peak[1]) / 1024 < MOST_MEGABYTES


def test_the_modules_of_the_service_import_neither(tmp_path: Path) -> None:
    code = "import sys, unfreeze.serving.service.server; print({'tensorflow', 'pandas', 'keras'} & {*sys.modules})"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=True)
    assert ended.stdout.strip() == "set()"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_ends_when_told_to(packed: Path, tmp_path: Path, number: signal.Signals) -> None:
    with serving(tmp_path, "--model", str(packed)) as (process, _):
        process.send_signal(number)
        assert process.wait(timeout=60) in (0, -number)
        assert process.stderr
        assert process.stderr.read() == ""


def test_no_model_yet(tmp_path: Path) -> None:
    assert fail(tmp_path) == "error: there is no model yet: run `make repro`, or name one with --model\n"


def test_an_unknown_backbone(tmp_path: Path) -> None:
    assert fail(tmp_path, "--model", "vgg99").startswith("error: no model vgg99: there is no model yet")


def test_a_port_in_use(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert fail(tmp_path, "--port", str(port)) == f"error: port {port} is in use: name another one with --port\n"
    assert "port 70000 does not exist" in fail(tmp_path, "--port", "70000")


def test_another_host_is_refused_without_a_token(tmp_path: Path) -> None:
    said = fail(tmp_path, "--host", "0.0.0.0")
    assert said.startswith("error: host 0.0.0.0 can be reached from other machines: set UNFREEZE_TOKEN")
    said = fail(tmp_path, "--host", "0.0.0.0", environment={**ENVIRONMENT, "UNFREEZE_TOKEN": "é"})
    assert "UNFREEZE_TOKEN holds characters that no header takes" in said


def test_a_package_of_another_version_is_refused(packed: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(packed, tmp_path / "package"))
    described = {**files.read_json(folder / "model.json"), "format": 99}
    files.write_json(folder / "model.json", described)
    assert "another version of unfreeze" in fail(tmp_path, "--model", str(folder), "--port", "0")
