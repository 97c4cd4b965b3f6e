"""Chromium without a screen, driven over its DevTools protocol: what the tests of the pages look through.

Needs only ``chromium`` on the path; the websocket comes with Jupyter (tornado). Nothing may leave the machine: each
request that is not for a file or this machine is noted.
"""

from __future__ import annotations

import asyncio
import base64
import json
import shutil
import subprocess
import tempfile
import time
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

from tornado.websocket import WebSocketClientConnection, websocket_connect

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-extensions",
    "--allow-file-access-from-files",
    "--remote-debugging-port=0",
)


@dataclass
class Visit:
    """What opening one page showed."""

    url: str
    console: list[str] = field(default_factory=list)
    outside: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    answers: dict[str, Any] = field(default_factory=dict)


def visit(
    pages: list[Path],
    width: int = 1400,
    height: int = 1000,
    theme: str = "light",
    ask: dict[str, str] | None = None,
    pictures: Path | None = None,
    settle: float = 0.4,
    full: bool = True,
) -> list[Visit]:
    """Open each page, evaluate the JavaScript expressions in ``ask``, and save a picture into ``pictures``."""
    assert CHROMIUM
    with tempfile.TemporaryDirectory(prefix="chromium-", ignore_cleanup_errors=True) as profile:
        started = subprocess.Popen(
            [CHROMIUM, *_FLAGS, f"--user-data-dir={profile}", "about:blank"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            port = _port(Path(profile))
            return asyncio.run(_visit(port, pages, width, height, theme, ask or {}, pictures, settle, full))
        finally:
            started.terminate()
            started.wait(20)


def _port(profile: Path) -> int:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        note = profile / "DevToolsActivePort"
        if note.is_file() and note.read_text().strip():
            return int(note.read_text().split()[0])
        time.sleep(0.1)
    raise RuntimeError("Chromium did not open its port within 30 s")


async def _visit(port, pages, width, height, theme, ask, pictures, settle, full) -> list[Visit]:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/json/list") as answer:
        target = next(found for found in json.load(answer) if found["type"] == "page")
    socket = await websocket_connect(target["webSocketDebuggerUrl"], max_message_size=2**28)
    tab = _Tab(socket)
    reader = asyncio.create_task(tab.read())
    for domain in ("Page", "Runtime", "Network", "Log"):
        await tab.send(f"{domain}.enable")
    shape = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
    await tab.send("Emulation.setDeviceMetricsOverride", **shape)
    await tab.send("Emulation.setFocusEmulationEnabled", enabled=True)
    first = f"localStorage.setItem('mode','{theme}'); localStorage.setItem('theme','{theme}')"
    await tab.send("Page.addScriptToEvaluateOnNewDocument", source=f"try{{{first}}}catch(e){{}}")
    visits = []
    for page in pages:
        tab.visit = Visit(page.as_uri())
        tab.loaded.clear()
        await tab.send("Page.navigate", url=page.as_uri())
        await asyncio.wait_for(tab.loaded.wait(), 30)
        await tab.evaluate("window.MathJax && MathJax.startup ? MathJax.startup.promise.then(() => 1) : 1")
        await asyncio.sleep(settle)
        for name, expression in ask.items():
            tab.visit.answers[name] = await tab.evaluate(expression)
        if pictures is not None:
            await tab.evaluate("document.querySelectorAll('img').forEach(i => i.loading = 'eager')")
            # taking a picture lays the page out anew, narrow for a moment, and the sidebar would slide in again
            await tab.evaluate(
                "new CSSStyleSheet().replace('* { transition: none !important }')"
                ".then(s => { document.adoptedStyleSheets = [s] })"
            )
            await tab.evaluate("Promise.all([...document.images].map(i => i.decode().catch(() => 0))).then(() => 1)")
            where = {"captureBeyondViewport": True}
            if full:
                tall = await tab.evaluate("document.documentElement.scrollHeight")
                where["clip"] = {"x": 0, "y": 0, "width": width, "height": min(tall, 16000), "scale": 1}
            shot = await tab.send("Page.captureScreenshot", format="png", **where)
            (pictures / f"{page.stem}-{width}-{theme}.png").write_bytes(base64.b64decode(shot["data"]))
        visits.append(tab.visit)
    socket.close()
    await asyncio.wait_for(reader, 10)
    return visits


class _Tab:
    def __init__(self, socket: WebSocketClientConnection) -> None:
        self.socket, self.number = socket, 0
        self.waiting: dict[int, asyncio.Future] = {}
        self.loaded = asyncio.Event()
        self.visit = Visit("about:blank")
        self.urls: dict[str, str] = {}

    async def send(self, method: str, **parameters: Any) -> dict[str, Any]:
        self.number += 1
        answer = self.waiting[self.number] = asyncio.get_running_loop().create_future()
        await self.socket.write_message(json.dumps({"id": self.number, "method": method, "params": parameters}))
        return await asyncio.wait_for(answer, 60)

    async def evaluate(self, expression: str) -> Any:
        answer = await self.send("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, (expression, answer["exceptionDetails"])
        return answer["result"].get("value")

    async def read(self) -> None:
        while True:
            text = await self.socket.read_message()
            if text is None:
                return
            message = json.loads(text)
            if "id" in message:
                self.waiting.pop(message["id"]).set_result(message.get("result", {}))
            else:
                self.note(message["method"], message["params"])

    def note(self, method: str, event: dict[str, Any]) -> None:
        visit = self.visit
        if method == "Page.loadEventFired":
            self.loaded.set()
        elif method == "Network.requestWillBeSent":
            url = event["request"]["url"]
            self.urls[event["requestId"]] = url
            parts = urlparse(url)
            if parts.scheme not in ("file", "data", "blob", "about") and parts.hostname not in (
                "localhost",
                "127.0.0.1",
            ):
                visit.outside.append(url)
        elif method == "Network.loadingFailed" and not event.get("canceled"):
            visit.failed.append(self.urls.get(event["requestId"], "?"))
        elif method == "Runtime.consoleAPICalled" and event["type"] in ("error", "assert"):
            visit.console.append(str([part.get("value", part.get("description")) for part in event["args"]]))
        elif method == "Runtime.exceptionThrown":
            details = event["exceptionDetails"]
            visit.console.append(details.get("exception", {}).get("description") or details["text"])
        elif method == "Log.entryAdded" and event["entry"]["level"] == "error":
            visit.console.append(event["entry"]["text"])
