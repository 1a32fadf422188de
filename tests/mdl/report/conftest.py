"""A headless Chromium, driven over a pipe by the DevTools protocol: no package, no port."""

import base64
import fcntl
import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--hide-scrollbars",
    "--disable-extensions",
    "--disable-sync",
    "--disable-background-networking",
    "--disable-component-update",
    "--host-resolver-rules=MAP * ~NOTFOUND",
    "--remote-debugging-pipe",
)
_SECONDS = 600.0  # guards against a browser that hangs


class Chromium:
    """The browser: it reads commands at file descriptor 3 and answers at 4."""

    def __init__(self, program: str, profile: Path) -> None:
        commands, self._commands = _pipe()
        self._answers, answers = _pipe()
        self._process = subprocess.Popen(
            [
                "bash",
                "-c",
                f'exec "$@" 3<&{commands} 4>&{answers}',
                "chromium",
                program,
                *_FLAGS,
                f"--user-data-dir={profile}",
                "about:blank",
            ],
            pass_fds=(commands, answers),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(commands)
        os.close(answers)
        os.set_blocking(self._answers, False)
        self._buffer = b""
        self._number = 0
        self.events: list[dict[str, Any]] = []

    def call(self, method: str, *, session: str | None = None, **values: Any) -> dict[str, Any]:
        """Send a command and wait for its result; events that come meanwhile are kept."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": values}
        if session is not None:
            message["sessionId"] = session
        os.write(self._commands, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._read()
            if answer.get("id") == self._number:
                assert "error" not in answer, answer
                return answer["result"]
            self.events.append(answer)

    def wait(self, method: str, session: str) -> None:
        """Wait for an event of a page."""
        while not any(
            event["method"] == method and event.get("sessionId") == session for event in self.events
        ):
            self.events.append(self._read())

    def close(self) -> None:
        self._process.terminate()
        self._process.wait(timeout=_SECONDS)
        os.close(self._commands)
        os.close(self._answers)

    def _read(self) -> dict[str, Any]:
        deadline = time.monotonic() + _SECONDS
        while b"\0" not in self._buffer:
            try:
                read = os.read(self._answers, 1 << 16)
            except BlockingIOError:
                assert time.monotonic() < deadline, "Chromium does not answer"
                time.sleep(0.01)
                continue
            assert read, "Chromium has ended"
            self._buffer += read
        message, _, self._buffer = self._buffer.partition(b"\0")
        answer: dict[str, Any] = json.loads(message)
        return answer


class Page:
    """One page, opened at a width, in light or dark.

    Attributes:
        requests: Addresses that it asked for, its own first.
        complaints: What the console showed: errors, warnings, and what the policy refused.
    """

    def __init__(self, browser: Chromium, file: Path, *, width: int, dark: bool) -> None:
        self._browser = browser
        target = browser.call("Target.createTarget", url="about:blank")["targetId"]
        attached = browser.call("Target.attachToTarget", targetId=target, flatten=True)
        self._target, self._session = target, attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=900,
            deviceScaleFactor=1,
            mobile=width < 600,
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])
        self.call("Page.navigate", url=file.resolve().as_uri())
        browser.wait("Page.loadEventFired", self._session)
        self.call("Runtime.evaluate", expression="0")

    def call(self, method: str, **values: Any) -> dict[str, Any]:
        return self._browser.call(method, session=self._session, **values)

    def evaluate(self, expression: str) -> Any:
        """The value of an expression in the page."""
        found = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    @property
    def requests(self) -> list[str]:
        sent = self._events("Network.requestWillBeSent")
        return [event["request"]["url"] for event in sent]

    @property
    def complaints(self) -> list[str]:
        found = [event["entry"]["text"] for event in self._events("Log.entryAdded")]
        found += [str(event["args"]) for event in self._events("Runtime.consoleAPICalled")]
        found += [
            str(event["exceptionDetails"]) for event in self._events("Runtime.exceptionThrown")
        ]
        return found

    def move(self, x: float, y: float) -> None:
        """Put the pointer at a place of the window."""
        self.call("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)

    def press(self, key: str) -> None:
        """Press a key such as ArrowLeft."""
        for kind in ("keyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=key)

    def picture(self, path: Path) -> None:
        """Write the whole page as PNG."""
        shot = self.call("Page.captureScreenshot", captureBeyondViewport=True, format="png")
        path.write_bytes(base64.b64decode(shot["data"]))

    def paper(self) -> bytes:
        """The page as PDF, as it prints."""
        printed = self.call("Page.printToPDF", printBackground=True, paperWidth=8.27)
        return base64.b64decode(printed["data"])

    def close(self) -> None:
        self._browser.call("Target.closeTarget", targetId=self._target)

    def _events(self, method: str) -> list[dict[str, Any]]:
        return [
            event["params"]
            for event in self._browser.events
            if event["method"] == method and event.get("sessionId") == self._session
        ]


@pytest.fixture(scope="session")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    """The browser; without one the test skips, and fails in CI."""
    program = next(filter(None, map(shutil.which, _NAMES)), None)
    if program is None:
        reason = "no browser: install chromium (apt-get install -y chromium)"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    browser = Chromium(program, tmp_path_factory.mktemp("chromium"))
    yield browser
    browser.close()


@pytest.fixture
def open_page(chromium: Chromium) -> Iterator[Any]:
    """Call it with a file, and width or dark, for a `Page`."""
    pages = []

    def open_it(file: Path, *, width: int = 390, dark: bool = False) -> Page:
        pages.append(Page(chromium, file, width=width, dark=dark))
        return pages[-1]

    yield open_it
    for page in pages:
        page.close()


def _pipe() -> tuple[int, int]:
    """A pipe whose ends are numbered from 20, out of the way of 3 and 4."""
    ends = os.pipe()
    high = tuple(fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 20) for end in ends)
    for end in ends:
        os.close(end)
    return high[0], high[1]
