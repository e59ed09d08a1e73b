"""Headless Chromium through its DevTools protocol, over a pipe: no driver and no port.

What is sent and received: https://chromedevtools.github.io/devtools-protocol/
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
PATIENCE = 300
"""Seconds for an answer: other processes may have the machine."""
SETTLED = 20
"""Seconds after which the page has done what it does."""
_OPTIONS = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage")
_OPTIONS += ("--remote-debugging-pipe", "--no-first-run", "--hide-scrollbars", "about:blank")
_ON_3_AND_4 = """
import fcntl, os, sys
own = [fcntl.fcntl(int(number), fcntl.F_DUPFD, 10) for number in sys.argv[1:3]]
for there, number in enumerate(own, 3):
    os.dup2(number, there)
os.execv(sys.argv[3], sys.argv[3:])
"""


class Tab:
    """One page.

    Attributes:
        problems: what its console complained of, and uncaught errors.
        requests: all addresses that it asked for.
    """

    def __init__(self, reads: int, writes: int) -> None:
        self.problems: list[str] = []
        self.requests: list[str] = []
        self._reads, self._writes, self._rest = reads, writes, b""
        self._numbers, self._loaded = itertools.count(1), False
        self._session = ""
        target = self.do("Target.createTarget", url="about:blank")["targetId"]
        attached = self.do("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.do(f"{domain}.enable")

    def do(self, method: str, **values: Any) -> dict[str, Any]:
        """One command and its result."""
        number = next(self._numbers)
        message: dict[str, Any] = {"id": number, "method": method, "params": values}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._writes, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == number:
                assert "error" not in answer, (method, answer["error"])
                found: dict[str, Any] = answer["result"]
                return found

    def open(self, page: Path, *, width: int = 1280, height: int = 900, dark: bool = False) -> None:
        """Show a file in a window of this size, and wait until it is loaded."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.do("Emulation.setDeviceMetricsOverride", **size)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.do("Emulation.setEmulatedMedia", features=[scheme])
        self.problems.clear()
        self.requests.clear()
        self._loaded = False
        self.do("Page.navigate", url=page.as_uri())
        while not self._loaded:
            self._next()

    def ask(self, script: str) -> Any:
        """The value of a JavaScript expression."""
        found = self.do(
            "Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def wait_for(self, script: str) -> None:
        """Until an expression is true: what follows an event comes a moment later."""
        until = time.monotonic() + SETTLED
        while not self.ask(script):
            assert time.monotonic() < until, f"not true in {SETTLED} s: {script}"
            time.sleep(0.02)

    def press(self, key: str) -> None:
        """A key, down and up."""
        text = {"Enter": "\r", "Space": " "}.get(key, "")
        code = {"Enter": 13, "Escape": 27, "Tab": 9, "Space": 32}[key]
        about = {"key": " " if key == "Space" else key, "code": key, "windowsVirtualKeyCode": code}
        down = {"type": "keyDown", "text": text} if text else {"type": "rawKeyDown"}
        self.do("Input.dispatchKeyEvent", **about, **down)
        self.do("Input.dispatchKeyEvent", **about, type="keyUp")

    def _next(self) -> dict[str, Any]:
        """The next message; of events what is wanted is kept."""
        until = time.monotonic() + PATIENCE
        while b"\0" not in self._rest:
            ready, _, _ = select.select([self._reads], [], [], max(0.0, until - time.monotonic()))
            assert ready, f"no answer of Chromium in {PATIENCE} s"
            read = os.read(self._reads, 1 << 16)
            assert read, "Chromium has ended"
            self._rest += read
        text, _, self._rest = self._rest.partition(b"\0")
        message: dict[str, Any] = json.loads(text)
        about = message.get("params", {})
        match message.get("method"):
            case "Page.loadEventFired":
                self._loaded = True
            case "Network.requestWillBeSent":
                self.requests.append(about["request"]["url"])
            case "Log.entryAdded":
                self.problems.append(about["entry"]["text"])
            case "Runtime.exceptionThrown":
                self.problems.append(about["exceptionDetails"]["text"])
            case "Runtime.consoleAPICalled":
                self.problems.append(str(about["args"]))
        return message


@contextlib.contextmanager
def chromium(profile: Path) -> Iterator[Tab]:
    """A browser with an empty profile, ended at the end."""
    assert CHROMIUM is not None
    reads, theirs = os.pipe()
    ours, writes = os.pipe()
    words = [sys.executable, "-c", _ON_3_AND_4, str(ours), str(theirs), CHROMIUM, *_OPTIONS]
    process = subprocess.Popen(
        [*words, f"--user-data-dir={profile}"], pass_fds=(ours, theirs), stderr=subprocess.DEVNULL
    )
    os.close(ours)
    os.close(theirs)
    try:
        yield Tab(reads, writes)
    finally:
        process.terminate()
        process.wait(PATIENCE)
        os.close(reads)
        os.close(writes)
