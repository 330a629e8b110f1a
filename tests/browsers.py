"""A real Chromium, without a window, driven over its DevTools protocol."""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from websockets.sync.client import connect

_NAMES = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome", "chrome")
_KEYS = {"Enter": 13, "Escape": 27, "Tab": 9, "ArrowLeft": 37, "ArrowUp": 38}
_KEYS |= {"ArrowRight": 39, "ArrowDown": 40}
_TEXTS = {"Enter": "\r"}  # of a key whose name is not what it types
_PATIENCE = 60  # seconds until it has to answer


def chromium() -> str:
    """The path of one; skips the test where there is none. `CHROMIUM` may name it."""
    asked = os.environ.get("CHROMIUM")
    for name in [asked] if asked else _NAMES:
        if path := shutil.which(name):
            return path
    pytest.skip("no Chromium is here; install one (on Debian: apt-get install chromium)")


class Tab:
    """A page in the browser. `errors` are what its console and its scripts complained of,
    `requests` the addresses that it asked for.
    """

    def __init__(self, socket: Any, session: str, downloads: Path):
        self._socket, self._session = socket, session
        self._next = 100  # smaller numbers are of commands to the browser itself
        self.downloads = downloads
        self.errors: list[str] = []
        self.requests: list[str] = []
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.ask(f"{domain}.enable")
        self.ask("Page.bringToFront")  # what nobody sees draws nothing

    def ask(self, method: str, **parameters: Any) -> dict[str, Any]:
        """The answer to a command; what happens meanwhile is noted."""
        self._next += 1
        wanted = self._next
        command = {"id": wanted, "method": method, "params": parameters}
        self._socket.send(json.dumps(command | {"sessionId": self._session}))
        while True:
            said = json.loads(self._socket.recv(timeout=_PATIENCE))
            if said.get("id") == wanted:
                assert "error" not in said, (method, said["error"])
                return said["result"]
            self._note(said.get("method"), said.get("params", {}))

    def _note(self, method: str | None, about: dict[str, Any]) -> None:
        if method == "Runtime.exceptionThrown":
            self.errors.append(json.dumps(about["exceptionDetails"])[:800])
        elif method == "Runtime.consoleAPICalled" and about["type"] in ("error", "warning"):
            self.errors.append(json.dumps(about["args"])[:800])
        elif method == "Log.entryAdded" and about["entry"]["level"] in ("error", "warning"):
            self.errors.append(about["entry"]["text"])
        elif method == "Network.requestWillBeSent":
            self.requests.append(about["request"]["url"])

    def look(self, width: int, height: int, dark: bool = False) -> None:
        """The size of the window, in which scheme."""
        self.ask(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 600,
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.ask("Emulation.setEmulatedMedia", features=[scheme])

    def open(self, address: str, ready: str) -> None:
        """Load a page, until the expression `ready` holds."""
        self.errors.clear()
        self.requests.clear()
        self.ask("Page.navigate", url="about:blank")  # the same file with another # is no new page
        self.ask("Page.navigate", url=address)
        self.wait_for(ready)

    def run(self, expression: str) -> Any:
        """What an expression of JavaScript gives."""
        found = self.ask(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in found, (expression, found["exceptionDetails"])
        return found["result"].get("value")

    def wait_for(self, expression: str) -> Any:
        """What an expression gives as soon as it is true."""
        end = time.monotonic() + _PATIENCE
        while time.monotonic() < end:
            if value := self.run(expression):
                return value
            time.sleep(0.02)
        raise AssertionError(f"never came true: {expression}; {self.errors}")

    def press(self, *keys: str, shift: bool = False) -> None:
        """Keys by their names, as a keyboard sends them."""
        for key in keys:
            text = _TEXTS.get(key, key if len(key) == 1 else "")
            code = _KEYS.get(key, ord(key.upper()) if len(key) == 1 and key.isalnum() else 0)
            about = {"key": key, "windowsVirtualKeyCode": code, "modifiers": 8 if shift else 0}
            self.ask("Input.dispatchKeyEvent", type="keyDown", text=text, **about)
            self.ask("Input.dispatchKeyEvent", type="keyUp", **about)

    def type(self, text: str) -> None:
        """A text into what has the focus."""
        self.ask("Input.insertText", text=text)

    def mouse(self, kind: str, x: float, y: float, **more: Any) -> None:
        """`mouseMoved`, `mousePressed`, `mouseReleased` or `mouseWheel`."""
        self.ask("Input.dispatchMouseEvent", type=kind, x=x, y=y, **more)

    def click(self, where: str | tuple[float, float]) -> None:
        """A place, or the middle of an element that a selector finds and that is made visible."""
        if isinstance(where, str):
            where = self.middle(where)
        self.mouse("mouseMoved", *where)
        for kind in ("mousePressed", "mouseReleased"):
            self.mouse(kind, *where, button="left", clickCount=1)

    def middle(self, selector: str) -> tuple[float, float]:
        """Of an element, after it is scrolled into the middle of the window."""
        x, y = self.run(
            f"(() => {{ const e = document.querySelector({json.dumps(selector)});"
            " e.scrollIntoView({block: 'center'}); const r = e.getBoundingClientRect();"
            " return [r.x + r.width / 2, r.y + r.height / 2]; })()"
        )
        return x, y

    def picture(self, path: Path) -> None:
        """What the window shows, as PNG."""
        path.write_bytes(base64.b64decode(self.ask("Page.captureScreenshot", format="png")["data"]))


@contextmanager
def browser(folder: Path) -> Iterator[Tab]:
    """One that ends with the block; its profile and its downloads are in `folder`."""
    flags = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
    flags += ["--remote-debugging-port=0", f"--user-data-dir={folder / 'profile'}"]
    flags += ["--no-first-run", "--disable-extensions", "--lang=en", "about:blank"]
    log = folder / "log"
    with log.open("wb") as stream:
        process = subprocess.Popen([chromium(), *flags], stderr=stream, stdout=stream)
    try:
        with connect(_address(process, log), max_size=None, compression=None) as socket:
            yield _tab(socket, folder)
    finally:
        process.terminate()
        process.wait(30)


def _address(process: subprocess.Popen[bytes], log: Path) -> str:
    end = time.monotonic() + _PATIENCE
    while time.monotonic() < end and process.poll() is None:
        said = log.read_text("utf-8", "replace")
        if found := re.search(r"^DevTools listening on (ws://\S+)$", said, re.MULTILINE):
            return found[1]
        time.sleep(0.05)
    raise AssertionError(f"Chromium did not start: {log.read_text('utf-8', 'replace')[-2000:]}")


def _tab(socket: Any, folder: Path) -> Tab:
    def ask(number: int, method: str, **parameters: Any) -> dict[str, Any]:
        socket.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while (said := json.loads(socket.recv(timeout=_PATIENCE))).get("id") != number:
            pass
        return said["result"]

    downloads = folder / "downloads"
    downloads.mkdir()
    target = ask(1, "Target.createTarget", url="about:blank")["targetId"]
    session = ask(2, "Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
    ask(3, "Browser.setDownloadBehavior", behavior="allow", downloadPath=str(downloads))
    allowed = ["clipboardReadWrite", "clipboardSanitizedWrite"]
    ask(4, "Browser.grantPermissions", permissions=allowed)
    return Tab(socket, session, downloads)
