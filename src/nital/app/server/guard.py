"""The guard: pages from elsewhere can't use the local page, and can't show it inside of them.

Every page that a browser has open can send requests to this machine. Headers that no page can set
show which one sent them: Host, Origin and Sec-Fetch-Site.
"""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

NAMES = ("127.0.0.1", "localhost", "[::1]")
"""Names of this machine; any other name belongs to somebody else."""

_HEADERS = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",  # a session's address is its key
    "x-frame-options": "DENY",
    "cross-origin-resource-policy": "same-origin",
}
# NiceGUI writes scripts and styles into its pages, and Vue compiles templates there.
_POLICY = (
    "default-src 'self'",
    "script-src 'self' 'unsafe-inline' 'unsafe-eval'",
    "style-src 'self' 'unsafe-inline'",
    "img-src 'self' data: blob:",
    "connect-src 'self' ws://127.0.0.1:{port} ws://localhost:{port}",
    "object-src 'none'",
    "base-uri 'self'",
    "form-action 'self'",
    "frame-ancestors 'none'",
)


class Guard:
    """An ASGI application around another one that passes only requests of its own pages on.

    Parameters
    ----------
    app : ASGI application
        The application to guard. The guard has to be outermost, so that error pages get its
        headers too.
    port : int
        Where the server listens on this machine.
    max_body : int
        Bytes that the body of a request may have at most.
    """

    def __init__(self, app: App, port: int, max_body: int) -> None:
        self.app = app
        self.max_body = max_body
        self._address = f"http://127.0.0.1:{port}"
        self._hosts = {f"{name}:{port}": name for name in NAMES}
        if port == 80:  # browsers leave it out
            self._hosts |= {name: name for name in NAMES}
        policy = "; ".join(_POLICY).format(port=port)
        self._headers = [(name.encode(), value.encode()) for name, value in _HEADERS.items()]
        self._headers.append((b"content-security-policy", policy.encode()))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        refusal = self._refusal(scope)
        if scope["type"] == "websocket":
            if refusal is None:
                await self.app(scope, receive, send)
            else:  # before it is accepted: the server answers 403
                await send({"type": "websocket.close", "code": 1008})
            return
        exchange = _Exchange(receive, send, self._headers, self.max_body)
        if refusal is not None:
            await exchange.refuse(403, refusal)
            return
        length = _header(scope, b"content-length")
        if length is not None and length.isdecimal() and int(length) > self.max_body:
            await exchange.refuse_body()
            return
        try:
            await self.app(scope, exchange.receive, exchange.send)
        except Exception:
            if not exchange.cut:  # an error about a request that was cut short is expected
                raise

    def _refusal(self, scope: Scope) -> str | None:
        """Why a request is refused; None where it comes from a page of our own."""
        # A foreign name may lead to this machine as well (DNS rebinding); it shows in the Host.
        host = _header(scope, b"host")
        name = self._hosts.get(host.lower()) if host else None
        if name is None:
            given = f"Host {host!r}" if host else "no Host"
            return f"{given}: not the address of this page; open {self._address}"
        # Not only one of our names, but that of this request: at [::1] another may listen.
        origin = _header(scope, b"origin")
        if origin is not None and not (
            origin.startswith("http://") and self._hosts.get(origin[7:].lower()) == name
        ):
            return f"Origin {origin!r}: a page from elsewhere; open {self._address}"
        if scope["type"] == "websocket":
            return None  # a browser's has an Origin always
        # "same-site" is another port of this machine and so another server. "none" is the user:
        # an address typed, a bookmark. A link from elsewhere may lead here, but not into a frame.
        site = _header(scope, b"sec-fetch-site")
        followed_link = (
            scope["method"] == "GET"
            and _header(scope, b"sec-fetch-mode") == "navigate"
            and _header(scope, b"sec-fetch-dest") == "document"
        )
        if site not in (None, "same-origin", "none") and not followed_link:
            return f"Sec-Fetch-Site {site!r}: asked by a page from elsewhere; open {self._address}"
        # A POST with neither Origin nor Sec-Fetch-Site is no browser's: to all but GET and HEAD,
        # browsers add an Origin (since 2019, all of them), and no page can take it away. So it is
        # a tool such as curl, which runs here with rights of its own. A Referer would not help:
        # pages can leave it out.
        return None


class _Exchange:
    """A request and its response: counts the body on its way in, adds headers on the way out."""

    def __init__(
        self, receive: Receive, send: Send, headers: list[tuple[bytes, bytes]], max_body: int
    ) -> None:
        self._receive, self._send = receive, send
        self._headers = headers
        self._max_body = max_body
        self._n_bytes = 0
        self._begun = False
        self.cut = False

    async def receive(self) -> Message:
        """The next message; once the body is too long, a disconnect."""
        if not self.cut:
            message = await self._receive()
            self._n_bytes += len(message.get("body", b""))
            if self._n_bytes <= self._max_body:
                return message
            self.cut = True
            if not self._begun:
                await self.refuse_body()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        """Pass a message of the application's on; none once the request is cut short."""
        if not self.cut:
            await self._pass_on(message)

    async def _pass_on(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._begun = True
            # A policy of the application's own may stand beside ours: browsers obey both.
            ours = {name.encode() for name in _HEADERS}
            theirs = [each for each in message.get("headers", ()) if each[0].lower() not in ours]
            message = {**message, "headers": [*theirs, *self._headers]}
        await self._send(message)

    async def refuse_body(self) -> None:
        """Answer that the body is too long."""
        most = f"{self._max_body:,} bytes"
        await self.refuse(413, f"body: more than the {most} that the page takes; send less")

    async def refuse(self, status: int, reason: str) -> None:
        """Answer with a line of text; the rest of the body is not read."""
        text = f"{reason}\n".encode()
        headers = [
            (b"content-type", b"text/plain; charset=utf-8"),
            (b"content-length", str(len(text)).encode()),
            (b"connection", b"close"),
        ]
        await self._pass_on({"type": "http.response.start", "status": status, "headers": headers})
        await self._pass_on({"type": "http.response.body", "body": text})


def _header(scope: Scope, name: bytes) -> str | None:
    """A header's value; doubled ones are joined, so that they equal none that is let through."""
    values = [value.decode("latin-1") for key, value in scope["headers"] if key.lower() == name]
    return ", ".join(values) if values else None
