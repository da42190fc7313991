"""The guard: requests of the page's own pass, all others are refused, and a browser agrees."""

import asyncio
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from nital.app.server.guard import Guard, Message, Receive, Scope, Send

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

PORT = 8123
OWN = f"127.0.0.1:{PORT}"


@dataclass
class Asked:
    """A request to a guarded application, and what came of it."""

    sent: list[Message] = field(default_factory=list)
    received: list[Message] = field(default_factory=list)

    @property
    def reached(self) -> bool:
        """Whether the application was called."""
        return bool(self.received)

    @property
    def status(self) -> int:
        return int(next(m["status"] for m in self.sent if m["type"] == "http.response.start"))

    @property
    def headers(self) -> list[tuple[str, str]]:
        start = next(m for m in self.sent if m["type"] == "http.response.start")
        return [(name.decode(), value.decode()) for name, value in start["headers"]]

    @property
    def text(self) -> str:
        return b"".join(m.get("body", b"") for m in self.sent).decode()


def ask(
    *headers: tuple[str, str],
    method: str = "GET",
    kind: str = "http",
    body: tuple[bytes, ...] = (b"",),
    port: int = PORT,
    answer_first: bool = False,
    fails: bool = False,
) -> Asked:
    """Send a request through a guard to an application that reads all of it, then answers."""
    asked = Asked()
    coming = [{"type": "http.request", "body": b, "more_body": True} for b in body]
    coming[-1]["more_body"] = False

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        start = {
            "type": "http.response.start",
            "status": 200,
            "headers": [(b"x-frame-options", b"SAMEORIGIN"), (b"content-type", b"text/html")],
        }
        if answer_first:
            await send(start)
        while not asked.received or asked.received[-1].get("more_body"):
            asked.received.append(await receive())
        if fails:
            raise RuntimeError("the application's own")
        if not answer_first:
            await send(start)
        await send({"type": "http.response.body", "body": b"hello"})

    async def receive() -> Message:
        return coming.pop(0)

    async def send(message: Message) -> None:
        asked.sent.append(message)

    scope: dict[str, Any] = {
        "type": kind,
        "headers": [(name.lower().encode(), value.encode()) for name, value in headers],
    }
    if kind == "http":
        scope["method"] = method
    asyncio.run(Guard(app, port, max_body=10)(scope, receive, send))
    return asked


# --- who asks -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost", "LocalHost", "[::1]"])
@pytest.mark.parametrize("kind", ["http", "websocket"])
def test_names_of_this_machine(name: str, kind: str) -> None:
    for host, port in ((f"{name}:{PORT}", PORT), (name, 80), (f"{name}:80", 80)):
        own = ("host", host), ("origin", f"http://{host}")
        assert ask(own[0], kind=kind, port=port).reached
        assert ask(*own, kind=kind, port=port).reached
    assert not ask(("host", name), kind=kind).reached


@pytest.mark.parametrize(
    "hosts",
    [
        [],
        [""],
        ["evil.example"],
        [f"evil.example:{PORT}"],
        [f"{OWN}.evil.example"],
        [f"localhost.:{PORT}"],
        ["127.0.0.1:80"],
        [f"0.0.0.0:{PORT}"],
        [f"evil@{OWN}"],
        [f"{OWN} "],
        [OWN, OWN],
        [OWN, "evil.example"],
    ],
)
def test_other_hosts_are_refused(hosts: list[str]) -> None:
    """A foreign name that leads to this machine: DNS rebinding."""
    headers = [("host", host) for host in hosts]
    asked = ask(*headers)
    assert not asked.reached
    assert asked.status == 403
    assert asked.text.endswith(f": not the address of this page; open http://{OWN}\n")
    assert asked.text.count("\n") == 1
    asked = ask(*headers, kind="websocket")
    assert not asked.reached
    assert [message["type"] for message in asked.sent] == ["websocket.close"]


@pytest.mark.parametrize(
    "origin",
    [
        "null",
        "",
        "http://evil.example",
        f"http://evil.example:{PORT}",
        f"http://{OWN}.evil.example",
        f"https://{OWN}",
        f"{OWN}",
        "http://127.0.0.1",
        "http://127.0.0.1:9999",
        f"http://localhost:{PORT}",  # at the same port of another address may be another server
        f"http://[::1]:{PORT}",
        f"http://{OWN}/",
    ],
)
@pytest.mark.parametrize("kind", ["http", "websocket"])
def test_other_origins_are_refused(origin: str, kind: str) -> None:
    host = ("host", OWN)
    headers = host, ("origin", origin), ("sec-fetch-site", "same-origin")
    for method in ("GET", "POST"):
        asked = ask(*headers, kind=kind, method=method)
        assert not asked.reached
        if kind == "http":
            assert asked.status == 403
            assert asked.text.startswith(f"Origin {origin!r}: a page from elsewhere; open")
    own = "origin", f"http://{OWN}"
    assert not ask(host, own, ("origin", origin), kind=kind).reached
    assert not ask(host, own, own, kind=kind).reached


NAVIGATE = ("sec-fetch-mode", "navigate")
DOCUMENT = ("sec-fetch-dest", "document")


@pytest.mark.parametrize("site", ["cross-site", "same-site", "nonsense", "none, cross-site"])
def test_other_sites_may_link_and_do_nothing_else(site: str) -> None:
    host = ("host", OWN)
    fetch = ("sec-fetch-site", site)
    assert ask(host, fetch, NAVIGATE, DOCUMENT).reached
    assert not ask(host, fetch, NAVIGATE, DOCUMENT, method="POST").reached
    assert not ask(host, fetch, NAVIGATE, ("sec-fetch-dest", "iframe")).reached
    assert not ask(host, fetch, DOCUMENT, ("sec-fetch-mode", "no-cors")).reached
    assert not ask(host, fetch).reached
    asked = ask(host, fetch, ("origin", f"http://{OWN}"))
    assert asked.status == 403
    assert asked.text.startswith(f"Sec-Fetch-Site {site!r}: asked by a page from elsewhere; open")


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"])
def test_own_pages_people_and_tools_may_do_all(method: str) -> None:
    host = ("host", OWN)
    assert ask(host, method=method).reached
    for site in ("same-origin", "none"):
        assert ask(host, ("sec-fetch-site", site), method=method).reached
        own = ("origin", f"http://{OWN}")
        assert ask(host, own, ("sec-fetch-site", site), method=method).reached


def test_websockets_are_distinguished_by_their_origin() -> None:
    fetch = ("sec-fetch-site", "cross-site")  # some browsers send it for their own pages
    assert ask(("host", OWN), ("origin", f"http://{OWN}"), fetch, kind="websocket").reached


def test_the_start_and_the_end_of_the_server_pass() -> None:
    assert ask(kind="lifespan").reached


# --- what passes --------------------------------------------------------------------------------


def test_headers_of_every_response() -> None:
    for asked in (ask(("host", OWN)), ask(("host", "evil.example"))):
        names = [name for name, _ in asked.headers]
        assert len(names) == len(set(names))
        headers = dict(asked.headers)
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["x-frame-options"] == "DENY"  # whatever the application sets
        assert headers["cross-origin-resource-policy"] == "same-origin"
        policy = headers["content-security-policy"]
        assert f"connect-src 'self' ws://127.0.0.1:{PORT} ws://localhost:{PORT};" in policy
        assert headers["content-type"].startswith("text/")


def test_a_body_whose_length_is_too_large() -> None:
    asked = ask(("host", OWN), ("content-length", "11"), method="POST")
    assert not asked.reached
    assert asked.status == 413
    assert asked.text == "body: more than the 10 bytes that the page takes; send less\n"
    assert ask(("host", OWN), ("content-length", "10"), method="POST").reached


def test_a_body_that_grows_too_long() -> None:
    for length in ((), (("content-length", "3"),)):
        fits = ask(("host", OWN), *length, method="POST", body=(b"12345", b"67890"))
        assert fits.status == 200
        for fails in (True, False):
            asked = ask(
                ("host", OWN), *length, method="POST", body=(b"12345", b"678901"), fails=fails
            )
            assert asked.status == 413
            assert [message["type"] for message in asked.received] == [
                "http.request",
                "http.disconnect",
            ]
            assert asked.text.startswith("body: more than the 10 bytes")


def test_a_body_that_grows_too_long_after_the_answer_has_begun() -> None:
    body = (b"12345", b"678901")
    asked = ask(("host", OWN), method="POST", body=body, answer_first=True)
    assert [message["type"] for message in asked.sent] == ["http.response.start"]
    assert asked.received[-1]["type"] == "http.disconnect"


def test_errors_of_the_application_are_raised() -> None:
    with pytest.raises(RuntimeError, match="own"):
        ask(("host", OWN), fails=True)


# --- with NiceGUI, and in a browser -------------------------------------------------------------

SERVER = """
import socket
import uvicorn
from fastapi import FastAPI, Request
from nicegui import ui
from nital.app.server.guard import Guard

web = FastAPI()
reached = []

@web.post("/count")
async def count(request: Request) -> int:
    total = 0
    async for piece in request.stream():
        total += len(piece)
    return total

@web.get("/reached")
def tell() -> list[str]:
    return reached

@web.delete("/reached")
def forget() -> None:
    reached.clear()

@web.get("/fails")
def fails() -> None:
    raise RuntimeError("meant")

DOT = "data:image/gif;base64,R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7"

@ui.page("/")
def page() -> None:
    label = ui.label("untouched")
    ui.button("press", on_click=lambda: label.set_text("pressed")).props("icon=home")
    ui.image(DOT).classes("w-8")
    ui.slider(min=0, max=9, value=3).bind_value_to(label, "text", str)
    with ui.tabs().classes("bg-blue-100 p-4"):
        ui.tab("one")
    ui.table(rows=[{"class": 1}])
    ui.markdown("**bold**")
    ui.html("<em>kept</em>", sanitize=True)

async def noted(scope, receive, send):
    if scope["type"] != "lifespan":
        reached.append(scope["path"])
    await web(scope, receive, send)

ui.run_with(web, title="guarded", show_welcome_message=False)
listening = socket.create_server(("127.0.0.1", 0))
port = listening.getsockname()[1]
print(port, flush=True)
guard = Guard(noted, port, max_body=1_000_000)
server = uvicorn.Server(uvicorn.Config(guard, log_level="error"))
server.run(sockets=[listening])
"""

ELSEWHERE = """
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer

class Hostile(BaseHTTPRequestHandler):
    def do_GET(self):
        print("asked", self.path, file=sys.stderr, flush=True)
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Access-Control-Allow-Origin", "*")
        self.end_headers()
        self.wfile.write(b"<title>elsewhere</title><p>hello")
    do_POST = do_GET
    def log_message(self, *args):
        pass

server = HTTPServer(("127.0.0.1", 0), Hostile)
print(server.server_port, flush=True)
server.serve_forever()
"""


@contextmanager
def serving(code: str, errors: Path) -> Iterator[int]:
    """A server in a process of its own; yields its port."""
    with (
        errors.open("w") as stderr,
        subprocess.Popen(
            [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=stderr, text=True
        ) as process,
    ):
        assert process.stdout is not None
        try:
            line = process.stdout.readline()
            assert line, errors.read_text()
            yield int(line)
        finally:
            process.kill()


@pytest.fixture(scope="module")
def errors(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the guarded server complains."""
    return tmp_path_factory.mktemp("server") / "errors.txt"


@pytest.fixture(scope="module")
def port(errors: Path) -> Iterator[int]:
    """A guarded NiceGUI page."""
    with serving(SERVER, errors) as number:
        for _ in range(600):
            try:
                httpx.get(f"http://127.0.0.1:{number}/")
                break
            except httpx.TransportError:
                time.sleep(0.1)
        yield number


@dataclass
class Watched:
    """A page in a browser, and what its console says."""

    page: "Page"
    said: list[str]


@pytest.fixture
def watched(browser: "Browser") -> Iterator[Watched]:
    page = browser.new_page()
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    yield Watched(page, said)
    page.close()


SVG = "<svg xmlns='http://www.w3.org/2000/svg'/>"
POST = """([url, size, mode]) => fetch(url, {method: "POST", mode, body: new Uint8Array(size)})
    .then(async r => `${r.status} ${await r.text()}`, e => `failed`)"""
CONNECT = """url => new Promise(done => {
    const ws = new WebSocket(url);
    ws.onopen = () => done("open"); ws.onerror = () => done("refused");
})"""
SHOW = """url => new Promise(done => {
    const image = new Image();
    image.onload = () => done("shown"); image.onerror = () => done("refused");
    image.src = url;
})"""


def test_nicegui_works_in_a_browser_under_the_guard(watched: Watched, port: int) -> None:
    page = watched.page
    for name in ("127.0.0.1", "localhost"):
        page.goto(f"http://{name}:{port}/")
        page.get_by_text("press", exact=True).click()  # there and back through the websocket
        page.get_by_text("pressed", exact=True).wait_for()
        page.locator("em", has_text="kept").wait_for()
        page.wait_for_function("[...document.fonts].some(font => font.status == 'loaded')")
        colour = "getComputedStyle(document.querySelector('.bg-blue-100')).backgroundColor"
        page.wait_for_function(f"!['rgba(0, 0, 0, 0)', ''].includes({colour})")
        assert page.evaluate(SHOW, f"data:image/svg+xml,{SVG}") == "shown"
        blob = f'URL.createObjectURL(new Blob(["{SVG}"], {{type: "image/svg+xml"}}))'
        assert page.evaluate(SHOW, page.evaluate(blob)) == "shown"
        assert page.evaluate(POST, ["/count", 1_000_000, "cors"]) == "200 1000000"
    assert watched.said == []


def test_a_page_reaches_nothing_elsewhere(watched: Watched, port: int, tmp_path: Path) -> None:
    asked = tmp_path / "asked.txt"
    with serving(ELSEWHERE, asked) as other:
        url = f"http://127.0.0.1:{other}"
        page = watched.page
        page.goto(f"http://127.0.0.1:{port}/")
        assert page.evaluate(POST, [f"{url}/post", 1, "no-cors"]) == "failed"
        assert page.evaluate(SHOW, f"{url}/image") == "refused"
        assert page.evaluate(CONNECT, f"ws://127.0.0.1:{other}/socket") == "refused"
        for tag in ("iframe", "script", "object", "link rel=stylesheet", "video"):
            kind, _, rest = tag.partition(" ")
            source = {"object": "data", "link": "href"}.get(kind, "src")
            page.evaluate(
                "html => document.body.append("
                "document.createRange().createContextualFragment(html))",
                f"<{kind} {rest} {source}='{url}/{kind}'></{kind}>",
            )
        page.evaluate(
            "url => { const f = document.createElement('form'); f.action = url; f.method = 'POST';"
            "document.body.append(f); f.submit() }",
            f"{url}/form",
        )
        page.wait_for_timeout(300)
        assert page.url == f"http://127.0.0.1:{port}/"
        assert asked.read_text() == ""
    told = [text for text in watched.said if "Content Security Policy directive" in text]
    assert len(told) == 9


def test_a_page_elsewhere_reaches_nothing(watched: Watched, port: int, tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{port}"
    with serving(ELSEWHERE, tmp_path / "asked.txt") as other:
        page = watched.page
        for name in ("127.0.0.1", "localhost"):  # of the same site and of another
            page.goto(f"http://{name}:{other}/")
            httpx.delete(f"{url}/reached")
            page.evaluate(POST, [f"{url}/count", 3, "no-cors"])
            assert page.evaluate(POST, [f"{url}/count", 3, "cors"]) == "failed"
            assert page.evaluate(SHOW, f"{url}/favicon.ico") == "refused"
            assert page.evaluate(CONNECT, f"ws://127.0.0.1:{port}/_nicegui_ws/") == "refused"
            page.evaluate(
                "src => document.body.append(Object.assign("
                "document.createElement('iframe'), {src}))",
                f"{url}/?framed",
            )
            page.wait_for_timeout(300)
            assert httpx.get(f"{url}/reached").json() == ["/reached"]
            page.evaluate("href => document.location = href", f"{url}/?linked")
            page.get_by_text("press", exact=True).wait_for()  # a link may be followed


def test_long_bodies_through_a_real_server(port: int, errors: Path) -> None:
    url = f"http://127.0.0.1:{port}/count"
    assert httpx.post(url, content=bytes(1_000_000)).text == "1000000"

    def parts(n_parts: int) -> Iterator[bytes]:
        yield from [bytes(100_000)] * n_parts

    assert httpx.post(url, content=parts(10)).text == "1000000"
    with socket.create_connection(("127.0.0.1", port), timeout=20) as raw:
        head = f"POST /count HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n"
        raw.sendall(f"{head}Content-Length: 1000001\r\n\r\n".encode())
        answer = raw.makefile("rb").read()  # until the server closes
    assert answer.startswith(b"HTTP/1.1 413 ")
    with socket.create_connection(("127.0.0.1", port), timeout=20) as raw:
        raw.sendall(f"{head}Transfer-Encoding: chunked\r\n\r\n".encode())
        raw.sendall(b"f4241\r\n" + bytes(1_000_001) + b"\r\n")
        answer = raw.makefile("rb").read()
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert answer.endswith(b"send less\n")
    assert errors.read_text() == ""


def test_error_pages_are_guarded_too(port: int) -> None:
    answer = httpx.get(f"http://127.0.0.1:{port}/fails")
    assert answer.status_code == 500
    assert answer.headers["x-content-type-options"] == "nosniff"
