"""Who may ask for the page: requests that name this machine, from the page itself.

A page elsewhere can make its visitor's browser send requests here: straight, which the browser
tells by the header Origin, or under a name of its own that it has resolved to this machine (DNS
rebinding), which the header Host tells. Both are refused before anything is read or computed.
"""

import socket
from ipaddress import ip_address
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

LOOPBACK = ("127.0.0.1", "localhost", "::1")
EVERYWHERE = ("0.0.0.0", "::")


class Hosts:
    """Names under which the page may be asked for.

    Attributes:
        names: Lower case; more may be added while the page is served.
        addresses: Whether any address will do besides: the page listens on all that this machine
            has, and only a name can be rebound.
    """

    def __init__(self, host: str) -> None:
        """Loopback and ``host``, the address to listen on; this machine's name if it is all."""
        self.names = {*LOOPBACK, host.lower()}
        self.addresses = host in EVERYWHERE
        if self.addresses:
            self.names |= {socket.gethostname().lower(), socket.getfqdn().lower()}

    def refusal(self, headers: Headers) -> str:
        """Why a request with such headers is refused, in one line; "" if it is not."""
        hosts = [_name("//" + host) for host in headers.getlist("host")]
        if len(hosts) != 1 or not self._is_own(hosts[0]):
            return f"this page is not served as {', '.join(headers.getlist('host')) or 'nothing'}"
        for origin in headers.getlist("origin"):
            if _name(origin) not in {*self.names, *hosts}:
                return f"this page takes no requests from {origin}"
        return ""

    def _is_own(self, name: str) -> bool:
        return name in self.names or (self.addresses and _is_address(name))


class Doorkeeper:
    """Middleware that answers 403 to what `Hosts` refuses."""

    def __init__(self, app: ASGIApp, hosts: Hosts) -> None:
        """Stand before ``app``."""
        self.app = app
        self.hosts = hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        refusal = ""
        if scope["type"] in ("http", "websocket"):
            refusal = self.hosts.refusal(Headers(scope=scope))
        answer = PlainTextResponse(refusal, status_code=403) if refusal else self.app
        await answer(scope, receive, send)


def notices(host: str, port: int, public: str | None) -> list[str]:
    """Warnings where others than this machine's users reach the page."""
    lines = []
    if host not in LOOPBACK:
        lines.append(
            f"warning: whoever reaches {host}:{port} can use this page and this machine's "
            "processor; there is no password"
        )
    if public:
        lines.append(f"warning: {public} is public: whoever knows it can use this page")
    return lines


def _name(url: str) -> str:
    """Host name of a URL, lower case and without its port; "" if it has none."""
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True
