"""The server of the local page: what strangers, hostile names and a bad start come to."""

import base64
import hashlib
import http.client
import importlib.util
import io
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import time
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import numpy as np
import pytest
from PIL import Image

from helpers.browser import free_port, nital_app, watch
from helpers.terminal import Nital
from nital.image.synthetic import synthesize

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

PATIENCE = 30


def png(seed: int = 1) -> bytes:
    """A micrograph."""
    file = io.BytesIO()
    pixels = synthesize((96, 128), grain_size=16, seed=seed).image
    Image.fromarray((255 * pixels).astype(np.uint8)).save(file, "PNG")
    return file.getvalue()


def bomb() -> bytes:
    """A PNG whose header claims 3600 megapixels."""
    header = b"IHDR" + struct.pack(">IIBBBBB", 60_000, 60_000, 8, 0, 0, 0, 0)
    chunks = header, b"IDAT" + zlib.compress(bytes(1000)), b"IEND"
    packed = (
        struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk))
        for chunk in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(packed)


@dataclass(frozen=True)
class Answer:
    status: int
    text: str
    headers: dict[str, str]


@dataclass(frozen=True)
class Site:
    """A server, and the folder of its sessions."""

    port: int
    root: Path

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    def ask(
        self, path: str, method: str = "GET", body: bytes | None = None, **headers: str
    ) -> Answer:
        """Sends a request just as it is: nothing in its path is tidied up."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        try:
            connection.request(method, path, body=body, headers=names)
            answer = connection.getresponse()
            text = answer.read().decode("utf-8", errors="replace")
            return Answer(answer.status, text, {k.lower(): v for k, v in answer.getheaders()})
        finally:
            connection.close()

    def new_session(self) -> str:
        """The identifier of a session that has just been started."""
        before = set(self.root.iterdir())
        assert self.ask("/").status == 200
        (made,) = set(self.root.iterdir()) - before
        return made.name

    def upload(self, session: str, name: str, content: bytes) -> Answer:
        return self.ask(f"/bench/{session}/upload", "POST", content, X_File_Name=name)

    def fields(self, session: str) -> list[dict[str, dict[str, object]]]:
        """What is on the bench of a session."""
        path = self.root / session / "bench.json"
        return json.loads(path.read_text())["fields"] if path.is_file() else []

    def opened(self, session: str, name: str) -> None:
        """Uploads a micrograph, and waits until it is open."""
        n = len(self.fields(session))
        assert self.upload(session, quote(name), png(n)).status == 200
        until = time.monotonic() + PATIENCE
        while not (fields := self.fields(session))[n:] or fields[n]["opened"] is None:
            assert time.monotonic() < until
            time.sleep(0.05)

    def state(self) -> dict[str, str]:
        """All files, with what is in them."""
        files = [path for path in self.root.rglob("*") if path.is_file()]
        return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    port, root = free_port(), tmp_path_factory.mktemp("sessions")
    with nital_app(root, port):
        yield Site(port, root)


@pytest.fixture(scope="module")
def session(site: Site) -> str:
    """One with a micrograph."""
    session = site.new_session()
    site.opened(session, "grains.png")
    return session


# --- addresses -----------------------------------------------------------------------------------

TRICKS = (
    "..",
    "..%2f..%2f..%2f..%2fetc%2fpasswd",
    "%2e%2e%2f%2e%2e%2fbench.json",
    "%2fetc%2fpasswd",
    "..%5c..%5cbench.json",
    "C:%5cwindows%5cwin.ini",
    "bench.json",
    "decided.nital%00.png",
    "%00",
    "-1",
    "9" * 400,
    "a" * 5000,
    "%ff%fe",
    "1%0d%0aSet-Cookie:%20a=b",
)
PLACES = (
    "/bench/{}/live",
    "/bench/{}/results/1/labels.tif",
    "/bench/{}/fields/1/micrograph/0/0/0",
    "/bench/SESSION/fields/{}/micrograph/0/0/0",
    "/bench/SESSION/fields/1/{}/0/0/0",
    "/bench/SESSION/fields/1/micrograph/{}/0/0",
    "/bench/SESSION/fields/1/micrograph/0/{}/0",
    "/bench/SESSION/fields/1/micrograph/0/0/{}",
    "/bench/SESSION/fields/1/labels/0/{}/0",
    "/bench/SESSION/results/{}",
    "/bench/SESSION/results/{}/labels.tif",
    "/bench/SESSION/results/1/{}",
    "/bench/SESSION/{}",
    "/{}",
)


@pytest.mark.parametrize("place", PLACES)
def test_no_address_leads_out_of_a_session(site: Site, session: str, place: str) -> None:
    assert site.ask(f"/bench/{session}/fields/1/micrograph/0/0/0").status == 200
    before = site.state()
    for trick in TRICKS:
        answer = site.ask(place.format(trick).replace("SESSION", session))
        assert answer.status in (400, 404, 422), trick
        assert "root:" not in answer.text
        assert "Traceback" not in answer.text
        assert "set-cookie" not in answer.headers
    assert site.state() == before


@pytest.mark.parametrize("name", ["A" * 22, "a", "..%2fa", "a" * 5000, "%00"])
def test_an_unknown_session_is_reported_and_not_made(site: Site, name: str) -> None:
    before = sorted(site.root.iterdir())
    answer = site.ask(f"/bench/{name}")
    assert answer.status in (200, 404)
    assert ("There is no such session" in answer.text) == (answer.status == 200)
    for path in ("upload", "reference/1"):
        assert site.ask(f"/bench/{name}/{path}", "POST", png(), X_File_Name="a.png").status == 404
    assert sorted(site.root.iterdir()) == before


def test_to_look_changes_nothing(site: Site, session: str) -> None:
    before = site.state()
    paths = [
        f"/bench/{session}",
        f"/bench/{session}/live",
        f"/bench/{session}/upload",
        f"/bench/{session}/reference/1",
        f"/bench/{session}/fields/1/micrograph/0/0/0",
        f"/bench/{session}/fields/1/labels/0/0/0",
        *(f"/bench/{session}/results/{name}" for name in ("report.html", "decided.nital")),
        *(f"/bench/{session}/results/1/{name}" for name in ("labels.tif", "classes.csv")),
    ]
    answers = {path: site.ask(path).status for path in paths}
    assert site.state() == before
    assert answers[paths[0]] == answers[paths[4]] == 200
    assert {answers[path] for path in paths[2:4]} <= {404, 405}
    site.ask("/")  # which starts a session; it is empty, and goes with the next start
    assert site.state() == before


@pytest.mark.parametrize("name", ["results.zip", "report.html", "decided.nital", "fields.csv"])
def test_what_was_not_kept_is_not_there(site: Site, name: str) -> None:
    session = site.new_session()
    before = site.state()
    answer = site.ask(f"/bench/{session}/results/{name}")
    assert answer.status == 404
    assert site.state() == before


# --- strangers -----------------------------------------------------------------------------------


def test_only_this_machines_names_are_answered(site: Site, session: str) -> None:
    path = f"/bench/{session}/fields/1/micrograph/0/0/0"
    for host in ("evil.example", f"evil.example:{site.port}", "127.0.0.1:1", "localhost.evil:80"):
        for each in ("/", path, f"/bench/{session}"):
            assert site.ask(each, Host=host).status == 403
    assert site.ask(path, Host=f"localhost:{site.port}").status == 200


def test_pages_from_elsewhere_can_not_send(site: Site, session: str) -> None:
    before = site.state()
    path = f"/bench/{session}/upload"
    hostile = (
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": f"https://127.0.0.1:{site.port}"},
        {"Origin": "http://127.0.0.1:1"},
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"},
    )
    for headers in hostile:
        answer = site.ask(path, "POST", png(), X_File_Name="a.png", **headers)
        assert answer.status == 403, headers
    assert site.state() == before
    assert site.ask(path, "OPTIONS", Origin="https://evil.example").status == 403


def shake_hands(site: Site, **headers: str) -> str:
    """The status line that a websocket gets which asks for the page's own."""
    names = {
        "Host": site.host,
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": base64.b64encode(bytes(16)).decode(),
        **headers,
    }
    lines = [f"{name}: {value}" for name, value in names.items()]
    path = "/_nicegui_ws/socket.io/?EIO=4&transport=websocket"
    with socket.create_connection(("127.0.0.1", site.port), timeout=PATIENCE) as stream:
        stream.sendall("\r\n".join([f"GET {path} HTTP/1.1", *lines, "", ""]).encode())
        return stream.makefile("rb").readline().decode()


def test_pages_from_elsewhere_get_no_websocket(site: Site) -> None:
    assert "101" in shake_hands(site, Origin=f"http://{site.host}")
    for origin in ("https://evil.example", "null", "http://127.0.0.1:1"):
        assert "403" in shake_hands(site, Origin=origin)
    assert "403" in shake_hands(site, Host="evil.example", Origin="http://evil.example")


# --- uploads -------------------------------------------------------------------------------------


def head_of_upload(site: Site, session: str, n_bytes: int) -> bytes:
    """What comes before the bytes of `a.png`."""
    lines = [
        f"POST /bench/{session}/upload HTTP/1.1",
        f"Host: {site.host}",
        f"Content-Length: {n_bytes}",
        "X-File-Name: a.png",
    ]
    return "\r\n".join([*lines, "", ""]).encode()


def test_too_much_is_refused_before_it_is_sent(site: Site, session: str) -> None:
    before = site.state()
    with socket.create_connection(("127.0.0.1", site.port), timeout=PATIENCE) as stream:
        stream.sendall(head_of_upload(site, session, 3 * 2**30))
        answer = stream.makefile("rb").read().decode()
    assert answer.startswith("HTTP/1.1 413 ")
    assert "2,147,483,648 bytes" in answer
    assert site.state() == before


def test_a_bomb_is_refused_by_its_header(site: Site, session: str) -> None:
    before = site.state()
    answer = site.upload(session, "bomb.png", bomb())
    assert answer.status == 422
    assert answer.text.startswith("bomb.png: ")
    assert "megapixels" in answer.text
    assert site.state() == before


def test_what_breaks_off_leaves_nothing(site: Site, session: str) -> None:
    content = png()
    with socket.create_connection(("127.0.0.1", site.port), timeout=PATIENCE) as stream:
        stream.sendall(head_of_upload(site, session, len(content)) + content[:1000])
    site.opened(session, "after.png")  # so much later, all is over
    parts = [path for path in (site.root / session / "uploads").iterdir() if "part" in path.name]
    assert parts == []
    names = {field["file"]["name"] for field in site.fields(session)}
    assert names == {"grains.png", "after.png"}


HOSTILE = {
    "../../../../etc/cron.d/evil.png": "evil.png",
    "C:\\windows\\system32\\evil.png": "evil.png",
    '<img src=x onerror="window.hurt=1">.png': '<img src=x onerror="window.hurt=1">.png',
    "{{ constructor.constructor('window.hurt=1')() }}.png": (
        "{{ constructor.constructor('window.hurt=1')() }}.png"
    ),
    '" onclick="window.hurt=1" x=".png': '" onclick="window.hurt=1" x=".png',
    "a\u202egnp.exe\x00\r\nX: y.png": "agnp.exeX: y.png",
    "%3Csvg onload=alert(1)%3E.png": "<svg onload=alert(1)>.png",
}


def test_hostile_names_are_shown_and_nothing_else(page: "Page", site: Site) -> None:
    session = site.new_session()
    for i, (given, shown) in enumerate(HOSTILE.items(), start=1):
        site.opened(session, given)
        assert (site.root / session / "uploads" / f"{i:03}.png").is_file()
        assert site.fields(session)[-1]["file"]["name"].removesuffix(" (2).png") in (
            shown,
            shown.removesuffix(".png"),
        )
    inside = {path.parent.name for path in site.root.glob(f"{session}/*/*") if path.is_file()}
    assert inside == {"uploads"}
    page.goto(f"http://{site.host}/bench/{session}")
    page.get_by_role("tab", name="1 Open").click()
    for shown in HOSTILE.values():
        page.locator(".nital-side").get_by_text(shown, exact=True).first.wait_for()
    page.get_by_role("tab", name="2 Segment").click()
    page.get_by_role("button", name="Segment", exact=True).click()
    page.get_by_role("button", name="Assign fine classes one by one").wait_for(timeout=30_000)
    page.get_by_label("Name of class 1").fill('<img src=x onerror="window.hurt=1">')
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Light up <img").wait_for()
    page.get_by_role("button", name="More for class 2").click()
    page.get_by_text('Join to <img src=x onerror="window.hurt=1">').wait_for()
    page.keyboard.press("Escape")
    page.get_by_role("tab", name="4 Measure").click()
    page.get_by_role("cell", name='<img src=x onerror="window.hurt=1">').wait_for()
    page.get_by_role("tab", name="5 Keep").click()
    with page.expect_download() as download:
        page.get_by_role("button", name="Report (HTML)").click()
    report = Path(download.value.path()).read_text(encoding="utf-8")
    assert "onerror" in report
    assert "<img src=x" not in report
    with page.expect_download() as download:
        page.get_by_role("button", name="Label map").click()
    assert download.value.suggested_filename == "evil-labels.tif"
    assert page.evaluate("window.hurt") is None
    answer = site.ask(f"/bench/{session}/results/6/labels.tif")
    assert answer.status == 200
    assert "\n" not in answer.headers["content-disposition"]


# --- start and end -------------------------------------------------------------------------------


def test_a_port_that_is_taken_is_an_error(site: Site, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "nital", "app", "--no-browser", "--port", str(site.port)]
    environment = os.environ | {"NITAL_SESSIONS": str(tmp_path)}
    found = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=PATIENCE
    )
    assert found.returncode == 2
    assert found.stdout == ""
    assert len(found.stderr.strip().splitlines()) == 1
    assert f"--port {site.port}: is taken" in found.stderr


def test_a_folder_without_micrographs_is_an_error(
    nital: Nital, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NITAL_SESSIONS", str(tmp_path / "sessions"))
    (tmp_path / "notes.txt").write_text("nothing")
    for folder in (tmp_path, tmp_path / "missing"):
        found = nital("app", "--no-browser", "--folder", folder)
        assert found.code == 2
        assert str(folder) in found.err
        assert "Traceback" not in found.out + found.err


def test_a_place_for_sessions_that_can_not_be_made_is_an_error(
    nital: Nital, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("NITAL_SESSIONS", str(tmp_path / "file" / "sessions"))
    found = nital("app", "--no-browser")
    assert found.code == 2
    assert str(tmp_path / "file") in found.err
    assert "Traceback" not in found.out + found.err


def test_missing_nicegui_is_an_error(nital: Nital, monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(
        "importlib.util.find_spec",
        lambda name, package=None: None if name == "nicegui" else find(name, package),
    )
    found = nital("app", "--no-browser")
    assert found.code == 2
    assert "pip install 'nital[app]'" in found.err
    assert "Traceback" not in found.err


def end(app: "subprocess.Popen[bytes]") -> int:
    """Sends Ctrl-C as a terminal does, to all processes; the exit code, and nothing is left."""
    psutil = pytest.importorskip("psutil")
    server = psutil.Process(app.pid)
    processes = [*server.children(recursive=True), server]
    assert len(processes) >= 3  # one that computes and one that helps, beside the server
    start = time.monotonic()
    for process in processes:
        process.send_signal(signal.SIGINT)
    code = app.wait(timeout=5)
    assert psutil.wait_procs(processes, timeout=5)[1] == []
    took = time.monotonic() - start
    print(f"ended after {took:.2f} s")
    assert took < 5
    return code


def test_a_folder_is_offered_until_ctrl_c(
    browser: "Browser", tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder, root, port = tmp_path / "plate", tmp_path / "sessions", free_port()
    (folder / "edge").mkdir(parents=True)
    (folder / "edge" / "small.png").write_bytes(png())
    with Image.open(io.BytesIO(png())) as image:
        image.resize((1024, 768)).save(folder / "large.png")
    context = browser.new_context()
    complaints = watch(page := context.new_page())
    with nital_app(root, port, "--folder", folder) as app:
        page.goto(f"http://127.0.0.1:{port}/")
        page.get_by_label("From plate: 2 micrographs").wait_for()
        page.get_by_role("button", name="Open all").click()
        for size in ("128 × 96", "1,024 × 768"):
            page.get_by_text(size).wait_for()
        page.get_by_role("button", name="Remove edge/small.png").click()
        page.get_by_role("button", name="Remove it").click()
        page.get_by_role("button", name="Remove edge/small.png").wait_for(state="hidden")
        page.get_by_role("tab", name="2 Segment").click()
        page.get_by_role("button", name="Segment", exact=True).click()
        page.locator(".nital-progress").wait_for()
        assert complaints == []
        assert end(app) == 130  # though a page is open, and work under way
    context.close()
    assert "Traceback" not in capfd.readouterr().out
    assert [path.name for path in folder.rglob("*.png")] == ["large.png", "small.png"]
    assert not list(root.rglob("*.png"))  # what is somebody's is neither moved nor copied


def test_ctrl_c_while_it_starts_is_no_news(tmp_path: Path) -> None:
    psutil = pytest.importorskip("psutil")
    command = [sys.executable, "-m", "nital", "app", "--no-browser", "--port", str(free_port())]
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST_")}
    environment["NITAL_SESSIONS"] = str(tmp_path)
    said = tmp_path / "said.txt"
    with said.open("wb") as out:
        app = subprocess.Popen(command, env=environment, stdout=out, stderr=out)
    server, until = psutil.Process(app.pid), time.monotonic() + PATIENCE
    while len(server.children()) < 2 or b"Ctrl-C ends it" not in said.read_bytes():
        assert time.monotonic() < until
        time.sleep(0.01)
    assert end(app) == 130
    assert "Traceback" not in said.read_text()
