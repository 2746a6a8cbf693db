"""The only place that believes what proxies say: who the client is, and whether it came by TLS.

With `TRUSTED_PROXIES=N` the N-th address from the right of X-Forwarded-For is the client, because each proxy appends
the address that it was called from, and the last X-Forwarded-Proto is the scheme; with 0 neither is looked at. Then
every header of the kind is taken away, so that nothing behind (Django, the REST framework, allauth) can be told
something else: they see `scope["client"]` and `scope["scheme"]`. The host is the Host header's, the root path is empty.
"""

import re
from collections.abc import Iterable
from ipaddress import IPv6Address, IPv6Network, ip_address
from typing import Any

from django.conf import settings

# What servers and frameworks are known to take from proxies, in lower case as in a scope.
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
# One of these may follow an address: `1.2.3.4:5678`, `[::1]:5678`.
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
    """Say whether only a proxy may set a header. A name with `_` could pass for the one with `-`, so it counts."""
    return name in _PROXY_HEADERS or name.startswith(b"x-forwarded") or b"_" in name


def without_proxies(scope: dict[str, Any], trusted: int) -> dict[str, Any]:
    """Return a connection's scope as if there were no proxies between the client and this server.

    Args:
        scope: is not changed.
        trusted: the number of proxies whose word counts.
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
    """Return the members of a list that may be spread over several headers, in their order."""
    return [one.strip() for name, value in headers if name == wanted for one in value.decode("latin-1").split(",")]


def _client(addresses: list[str], trusted: int) -> str | None:
    """Return the address that the outermost trusted proxy was called from.

    None: fewer proxies than trusted have written something, or no address. Then the connection's own counts, which
    nobody can choose.
    """
    if len(addresses) < trusted:
        return None
    found = _ADDRESS.fullmatch(addresses[-trusted])
    try:
        return str(ip_address(found[found.lastgroup or 0])) if found else None
    except ValueError:
        return None


def network_of(address: str) -> str:
    """Return what limits by address count by: an IPv4 address, or the /64 of an IPv6 one, which is one customer's."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, IPv6Address):
        return str(parsed.ipv4_mapped or IPv6Network((parsed, 64), strict=False).network_address)
    return str(parsed)
