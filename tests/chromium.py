"""A real browser for tests of pages, through its DevTools protocol."""

import asyncio
import base64
import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

PROGRAM = shutil.which("chromium") or shutil.which("google-chrome")
SECONDS = 60.0


@dataclass
class Seen:
    """What was asked of a page, and what happened meanwhile.

    Args:
        values: The answers of scripts, in order.
        requests: All addresses that were asked for, but the page's own and data in it.
        problems: Errors of the console and of scripts.
        dialogs: Texts of alerts.
    """

    values: list[Any] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    dialogs: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Drop:
    """A file that is dropped on a page, as from a file manager.

    Args:
        file: The file.
        place: CSS selector of the element it is dropped on.
    """

    file: Path
    place: str


@dataclass(frozen=True)
class Choose:
    """A file that is chosen in the dialog of an input, or photographed.

    Args:
        file: The file.
        place: CSS selector of the input.
    """

    file: Path
    place: str


@contextmanager
def browser(folder: Path) -> Iterator[str]:
    """Start a browser that reaches no network; gives the address of its protocol."""
    assert PROGRAM
    process = subprocess.Popen(
        [
            PROGRAM, "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-extensions",
            "--disable-background-networking", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
            f"--user-data-dir={folder}", "--remote-debugging-port=0", "about:blank",
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        port = folder / "DevToolsActivePort"
        end = time.monotonic() + SECONDS
        while not (port.exists() and port.read_text().count("\n")):
            assert time.monotonic() < end and process.poll() is None, "the browser did not start"
            time.sleep(0.05)
        number, path = port.read_text().split("\n")[:2]
        yield f"ws://127.0.0.1:{number}{path}"
    finally:
        process.terminate()
        process.wait()


def visit(
    address: str,
    page: str,
    scripts: Sequence[str],
    *,
    width: int = 1200,
    height: int = 900,
    dark: bool = False,
    touch: bool = False,
    pdf: Path | None = None,
    picture: Path | None = None,
    downloads: Path | None = None,
    before: Drop | Choose | None = None,
) -> Seen:
    """Open a page, print it if asked to, evaluate scripts in it, and take its picture if asked to.

    Args:
        address: That of a browser's protocol.
        page: Address of the page.
        scripts: JavaScript expressions; promises are awaited.
        width: Of the window, in pixels.
        height: Of the window, in pixels.
        dark: Whether the user prefers dark pages.
        touch: Whether there is a touch screen.
        pdf: Where to print the page before the scripts.
        picture: Where to put a PNG of the window after the scripts.
        downloads: Folder for what the page hands out; the end of one download is waited for.
        before: A file to drop or to choose on the page before the scripts.
    """
    return asyncio.run(_visit(address, page, scripts, width, height, dark, touch, pdf, picture, downloads, before))


async def _visit(
    address: str,
    page: str,
    scripts: Sequence[str],
    width: int,
    height: int,
    dark: bool,
    touch: bool,
    pdf: Path | None,
    picture: Path | None,
    downloads: Path | None,
    before: Drop | Choose | None = None,
) -> Seen:
    async with aiohttp.ClientSession() as session, session.ws_connect(address, max_msg_size=0) as socket:
        tab = _Tab(socket)
        target = await tab.call("Target.createTarget", url="about:blank")
        attached = await tab.call("Target.attachToTarget", targetId=target["targetId"], flatten=True)
        tab.session = attached["sessionId"]
        for domain in ("Page", "Network", "Runtime", "Log"):
            await tab.call(f"{domain}.enable")
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        await tab.call("Emulation.setDeviceMetricsOverride", **metrics)
        await tab.call("Emulation.setTouchEmulationEnabled", enabled=touch)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        await tab.call("Emulation.setEmulatedMedia", features=[scheme])
        if downloads:
            to_folder = {"behavior": "allow", "downloadPath": str(downloads), "eventsEnabled": True}
            await tab.call("Browser.setDownloadBehavior", **to_folder)
        await tab.call("Page.navigate", url=page)
        await tab.until("Page.loadEventFired")
        if pdf:
            printed = await tab.call("Page.printToPDF")
            pdf.write_bytes(base64.b64decode(printed["data"]))
        if isinstance(before, Drop):
            await _drop(tab, before)
        elif before:
            await _choose(tab, before)
        for script in scripts:
            answer = await tab.call(
                "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True, userGesture=True
            )
            assert "exceptionDetails" not in answer, answer
            tab.seen.values.append(answer["result"].get("value"))
        if downloads:
            await tab.until("downloaded")
        if picture:
            taken = await tab.call("Page.captureScreenshot")
            picture.write_bytes(base64.b64decode(taken["data"]))
        await tab.call("Target.closeTarget", targetId=target["targetId"])
        tab.seen.requests = [one for one in tab.seen.requests if one != page and not one.startswith("data:")]
        return tab.seen


async def _drop(tab: "_Tab", dropped: Drop) -> None:
    script = (
        f"(r => [r.x + r.width / 2, r.y + 20])(document.querySelector({dropped.place!r}).getBoundingClientRect())"
    )
    answer = await tab.call("Runtime.evaluate", expression=script, returnByValue=True)
    x, y = answer["result"]["value"]
    data = {"items": [], "files": [str(dropped.file)], "dragOperationsMask": 1}
    for event in ("dragEnter", "dragOver", "drop"):
        await tab.call("Input.dispatchDragEvent", type=event, x=x, y=y, data=data)


async def _choose(tab: "_Tab", chosen: Choose) -> None:
    document = await tab.call("DOM.getDocument")
    found = await tab.call("DOM.querySelector", nodeId=document["root"]["nodeId"], selector=chosen.place)
    await tab.call("DOM.setFileInputFiles", nodeId=found["nodeId"], files=[str(chosen.file)])


class _Tab:
    """Calls of the protocol, and what a tab tells of itself meanwhile."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.seen = Seen()
        self.session: str | None = None
        self._socket = socket
        self._calls = 0
        self._events: set[str] = set()

    async def call(self, method: str, **params: Any) -> dict[str, Any]:
        self._calls += 1
        number = self._calls
        message = {"id": number, "method": method, "params": params}
        await self._socket.send_json({**message, "sessionId": self.session} if self.session else message)
        while True:
            answer = await self._next()
            if answer.get("id") == number:
                assert "error" not in answer, answer
                return answer["result"]

    async def until(self, event: str) -> None:
        while event not in self._events:
            await self._next()

    async def _next(self) -> dict[str, Any]:
        message = await self._socket.receive_json(timeout=SECONDS)
        told, params = message.get("method", ""), message.get("params", {})
        self._events.add(told)
        if told == "Browser.downloadProgress" and params["state"] == "completed":
            self._events.add("downloaded")
        if told == "Network.requestWillBeSent":
            self.seen.requests.append(params["request"]["url"])
        elif told == "Runtime.exceptionThrown":
            self.seen.problems.append(str(params["exceptionDetails"]))
        elif told == "Runtime.consoleAPICalled" and params["type"] in ("error", "warning"):
            self.seen.problems.append(str(params["args"]))
        elif told == "Log.entryAdded" and params["entry"]["level"] in ("error", "warning"):
            self.seen.problems.append(params["entry"]["text"])
        elif told == "Page.javascriptDialogOpening":
            self.seen.dialogs.append(params["message"])
            await self._socket.send_json(
                {
                    "id": 0,
                    "method": "Page.handleJavaScriptDialog",
                    "params": {"accept": True},
                    "sessionId": self.session,
                }
            )
        return message
