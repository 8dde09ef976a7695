"""A local server that answers as GitHub's API does about pull requests and comments: the real one is out of reach."""

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

REPOSITORY = "owner/cells"
TOKEN = "ghs-a-secret-of-this-job"


class GitHub:
    """What the server holds.

    Args:
        url: Where it answers.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.pulls: list[dict[str, Any]] = []
        self.comments: list[dict[str, Any]] = []

    @property
    def environment(self) -> dict[str, str]:
        """The variables of a job."""
        return {
            "GITHUB_API_URL": self.url,
            "GITHUB_SERVER_URL": "https://github.example.org",
            "GITHUB_REPOSITORY": REPOSITORY,
            "GITHUB_TOKEN": TOKEN,
        }

    def answer(self, method: str, path: str, query: dict[str, str], content: dict[str, Any]) -> tuple[int, Any]:
        """Return status and content."""
        if method == "GET" and path == "pulls":
            return 200, [pull for pull in self.pulls if self._matches(pull, query)]
        if method == "POST" and path == "pulls":
            number = len(self.pulls) + 1
            owner = REPOSITORY.partition("/")[0]
            head = {"ref": content["head"], "label": f"{owner}:{content['head']}", "sha": content.get("sha", "")}
            pull = {"number": number, "state": "open", "html_url": f"https://github.example.org/pull/{number}"}
            self.pulls.append({**pull, **content, "head": head, "base": {"ref": content["base"]}})
            return 201, self.pulls[-1]
        if found := re.fullmatch(r"pulls/(\d+)", path):
            self.pulls[int(found[1]) - 1].update(content)
            return 200, self.pulls[int(found[1]) - 1]
        if found := re.fullmatch(r"issues/(\d+)/comments", path):
            if method == "GET":
                return 200, [comment for comment in self.comments if comment["issue"] == int(found[1])]
            number = len(self.comments) + 1
            address = f"https://github.example.org/comment/{number}"
            made = {"id": number, "issue": int(found[1]), "user": {"type": "Bot"}, "html_url": address, **content}
            self.comments.append(made)
            return 201, made
        if found := re.fullmatch(r"issues/comments/(\d+)", path):
            self.comments[int(found[1]) - 1].update(content)
            return 200, self.comments[int(found[1]) - 1]
        return 404, {"message": "Not Found"}

    @staticmethod
    def _matches(pull: dict[str, Any], query: dict[str, str]) -> bool:
        return (
            query.get("head", pull["head"]["label"]) == pull["head"]["label"]
            and query.get("base", pull["base"]["ref"]) == pull["base"]["ref"]
            and query.get("state", "open") in (pull["state"], "all")
        )


@contextmanager
def github() -> Iterator[GitHub]:
    """Run the server until the block ends."""

    class Handler(BaseHTTPRequestHandler):
        def _handle(self) -> None:
            address = urlsplit(self.path)
            content = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))) or b"{}")
            path = address.path.removeprefix(f"/repos/{REPOSITORY}/")
            query = {name: values[0] for name, values in parse_qs(address.query).items()}
            if self.headers["Authorization"] != f"Bearer {TOKEN}":
                status, answer = 401, {"message": "Bad credentials"}
            else:
                status, answer = state.answer(self.command, path, query, content)
            body = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_PATCH = _handle  # noqa: N815

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        state = GitHub(f"http://127.0.0.1:{server.server_port}")
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield state
        server.shutdown()
