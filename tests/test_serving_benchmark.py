"""A short run of the benchmark of the service."""

import os
import re
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from benchmarks import serving

from tests.conftest import INSTALLED, PROJECT
from tests.serving.packed import pack_small


def test_it_writes_a_page_with_all_it_measures(tmp_path: Path) -> None:
    package = pack_small(tmp_path / "model")
    command = [
        sys.executable, "-m", "benchmarks.serving", "--model", str(package), "--small", str(package),
        "--images", str(tmp_path / "model/raw"), "--page", str(tmp_path / "serving.md"),
        "--rounds", "2", "--count", "64", "--requests", "400",
    ]  # fmt: skip
    environment = {**os.environ, "PATH": INSTALLED, "PYTHONPATH": str(PROJECT / "src")}
    subprocess.run(command, cwd=PROJECT, env=environment, check=True)
    text = (tmp_path / "serving.md").read_text()
    shares = re.findall(r"\| (\d\S*) \((\d\S*) to (\d\S*)\)", text)
    assert len(shares) == 4
    assert all(0 < float(least) <= float(middle) <= float(most) for middle, least, most in shares)
    assert re.search(r"memory after 400 requests over that after 8 \| [01]\.\d{3} \(\d+\.\d to \d+\.\d MB\)", text)


class Refuse(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        self.send_response(503)
        self.end_headers()

    def log_message(self, *_: object) -> None: ...


def test_a_request_that_is_refused_is_no_measurement(tmp_path: Path) -> None:
    (tmp_path / "image").write_bytes(b"bytes")
    with ThreadingHTTPServer(("127.0.0.1", 0), Refuse) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with pytest.raises(RuntimeError, match="2 of 2 clients failed, the first with .*status 503"):
            serving.ask(serving.Service(0, server.server_port), [tmp_path / "image"], 2, 10)
        server.shutdown()
