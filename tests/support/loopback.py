"""A small HTTP server on 127.0.0.1 that can behave badly, for tests of downloads."""

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Request:
    """One request that came, and what was sent: status, and bytes of the body."""

    path: str
    range: str | None
    status: int = 0
    sent: int = 0


@dataclass
class Loopback:
    """What the server has and how it behaves.

    Attributes:
        files: Bodies by path.
        moved: New addresses by path, answered with 301.
        port: Its port.
        ranges: Whether it answers a part where a part is asked for.
        etag: Tag of every file; None sends none.
        date: Last-Modified of every file; None sends none.
        cuts: For the next requests, in order: after how many bytes of the body to hang up.
        statuses: For the next requests, in order: an error to answer.
        length: What to send as Content-Length instead of the truth; 0 sends none.
        requests: What has been asked.
    """

    files: dict[str, bytes] = field(default_factory=dict)
    moved: dict[str, str] = field(default_factory=dict)
    port: int = 0
    ranges: bool = True
    etag: str | None = '"one"'
    date: str | None = None
    cuts: list[int] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    length: int | None = None
    requests: list[Request] = field(default_factory=list)

    def address(self, name: str) -> str:
        return f"http://127.0.0.1:{self.port}/{name}"


@contextmanager
def serve() -> Iterator[Loopback]:
    """A server that runs until the block ends."""
    state = Loopback()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.0"  # one request a connection, so that a cut is a cut

        def do_GET(self) -> None:
            request = Request(self.path, self.headers.get("Range"))
            state.requests.append(request)
            if state.statuses:
                return self.refuse(request, state.statuses.pop(0))
            if to := state.moved.get(self.path.lstrip("/")):
                return self.refuse(request, 301, {"Location": to})
            # A proxy is asked for a whole address.
            body = state.files.get(re.sub(r"^http://[^/]+", "", self.path).lstrip("/"))
            if body is None:
                return self.refuse(request, 404)
            start = self.start(request, body)
            if start is None:
                return self.refuse(request, 416, {"Content-Range": f"bytes */{len(body)}"})
            request.status = 206 if start else 200
            self.send_response(request.status)
            if start:
                self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
            if state.length != 0:
                self.send_header("Content-Length", str(state.length or len(body) - start))
            for name, value in (("ETag", state.etag), ("Last-Modified", state.date)):
                if value is not None:
                    self.send_header(name, value)
            self.end_headers()
            rest = body[start:]
            rest = rest[: state.cuts.pop(0)] if state.cuts else rest
            self.wfile.write(rest)
            request.sent = len(rest)
            return None

        def start(self, request: Request, body: bytes) -> int | None:
            """First byte to send; None if there is no such part."""
            asked = re.fullmatch(r"bytes=(\d+)-", request.range or "")
            condition = self.headers.get("If-Range")
            known = condition is None or condition in (state.etag, state.date)
            if not asked or not state.ranges or not known:
                return 0
            return int(asked[1]) if int(asked[1]) < len(body) else None

        def refuse(self, request: Request, status: int, headers: dict[str, str] | None = None):
            request.status = status
            self.send_response(status)
            for name, value in (headers or {}).items():
                self.send_header(name, value)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with running(Handler) as state.port:
        yield state


@contextmanager
def running(handler: type[BaseHTTPRequestHandler]) -> Iterator[int]:
    """A server on a free port of 127.0.0.1, given, that runs until the block ends."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
