"""The only module that uses proxies' headers: the client's address, and whether the client used TLS.

With `TRUSTED_PROXIES=N` the N-th address from the right of X-Forwarded-For is the client, because each proxy appends
the address that it was called from, and the last X-Forwarded-Proto is the scheme; with 0 neither is used. Then
all headers of this kind are removed, so that a client cannot set them for the code behind (Django, the REST framework,
allauth), which sees `scope["client"]` and `scope["scheme"]`. The host is the Host header's, the root path is empty.
"""

import re
from collections.abc import Iterable
from ipaddress import IPv6Address, IPv6Network, ip_address
from typing import Any

from django.conf import settings

# Headers that servers and frameworks are known to accept from proxies, in lower case as in a scope.
_PROXY_HEADERS = frozenset(
    {
        b"daphne-root-path",
        b"forwarded",
        b"front-end-https",
        b"client-ip",
        b"cf-connecting-ip",
        b"fastly-client-ip",
        b"true-client-ip",
        b"x-client-ip",
        b"x-cluster-client-ip",
        b"x-host",
        b"x-original-host",
        b"x-original-url",
        b"x-real-ip",
        b"x-rewrite-url",
        b"x-scheme",
        b"x-script-name",
        b"x-url-scheme",
    }
)
# An address, perhaps with a port: `1.2.3.4:5678`, `[::1]:5678`.
_ADDRESS = re.compile(r"\[(?P<v6>[^\]]+)\](?::\d+)?|(?P<v4>[^:]+):\d+|(?P<bare>.+)")
_SCHEMES = {"http": ("http", "ws"), "ws": ("http", "ws"), "https": ("https", "wss"), "wss": ("https", "wss")}


class TrustedProxies:
    """ASGI middleware around everything, HTTP and WebSockets."""

    def __init__(self, application: Any) -> None:
        self._application = application

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] in ("http", "websocket"):
            scope = without_proxies(scope, settings.TRUSTED_PROXIES)
        await self._application(scope, receive, send)


def is_proxy_header(name: bytes) -> bool:
    """Say whether only a proxy may set a header. Also any name with `_`, which could be taken for one with `-`."""
    return name in _PROXY_HEADERS or name.startswith(b"x-forwarded") or b"_" in name


def without_proxies(scope: dict[str, Any], trusted: int) -> dict[str, Any]:
    """Return a connection's scope as if there were no proxies between the client and this server.

    Args:
        scope: is not changed.
        trusted: the number of trusted proxies.
    """
    outside = scope["headers"]
    headers = [(name, value) for name, value in outside if not is_proxy_header(name)]
    inside = {**scope, "headers": headers, "root_path": ""}
    if trusted and len(headers) < len(outside):
        client = _client(_values(outside, b"x-forwarded-for"), trusted)
        if client is not None:
            inside["client"] = [client, 0]
        schemes = _SCHEMES.get((_values(outside, b"x-forwarded-proto") or [""])[-1].lower())
        if schemes is not None:
            inside["scheme"] = schemes[scope["type"] == "websocket"]
    return inside


def _values(headers: Iterable[tuple[bytes, bytes]], wanted: bytes) -> list[str]:
    """Return the members of a comma-separated list, which several headers may hold, in their order."""
    return [one.strip() for name, value in headers if name == wanted for one in value.decode("latin-1").split(",")]


def _client(addresses: list[str], trusted: int) -> str | None:
    """Return the address of the outermost trusted proxy's client.

    None: fewer proxies than trusted have added an address, or it is not an address. Then the connection's own address
    is used, which a client cannot forge.
    """
    if len(addresses) < trusted:
        return None
    found = _ADDRESS.fullmatch(addresses[-trusted])
    try:
        return str(ip_address(found[found.lastgroup or 0])) if found else None
    except ValueError:
        return None


def network_of(address: str) -> str:
    """Return the key of limits by address: an IPv4 address, or the /64 network of an IPv6 one (one customer)."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, IPv6Address):
        return str(parsed.ipv4_mapped or IPv6Network((parsed, 64), strict=False).network_address)
    return str(parsed)
