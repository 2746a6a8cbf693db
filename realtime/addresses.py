"""The address behind a connection, and how many connections of one address are not signed in yet.

A mobile carrier is one address for thousands of people, so signed-in sockets are counted by account only
(`realtime.socket_counts`). What is counted here is what costs the server work for somebody it does not know.
"""

import ipaddress
from collections import Counter
from typing import Any

from django.conf import settings

# An IPv6 customer gets a whole network of this length.
_IPV6_PREFIX = 64

_opening: Counter[str] = Counter()


def client_address(scope: dict[str, Any]) -> str:
    """The client's address; behind `TRUSTED_PROXIES` proxies what the outermost of them saw. "": unknown.

    `X-Forwarded-For` is read only as far as our own proxies wrote it: what stands before that a client may invent.
    """
    if settings.TRUSTED_PROXIES:
        values = [value for name, value in scope.get("headers", []) if name == b"x-forwarded-for"]
        hops = [hop.strip() for hop in b",".join(values).decode("latin-1").split(",")]
        hops = [hop for hop in hops if hop]
        if hops:
            return hops[-min(settings.TRUSTED_PROXIES, len(hops))]
    client = scope.get("client")
    return str(client[0]) if client and client[0] else ""


def _network(address: str) -> str:
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if parsed.version == 4:
        return address
    mapped = parsed.ipv4_mapped
    return str(mapped or ipaddress.ip_network((parsed, _IPV6_PREFIX), strict=False))


class Opening:
    """A connection that nobody has signed in to yet; counted until `end`."""

    __slots__ = ("_network", "is_one_too_many")

    def __init__(self, scope: dict[str, Any]) -> None:
        address = client_address(scope)
        # Where the server does not say, as behind a UNIX socket, everybody would be counted as one.
        self._network = _network(address) if address else ""
        if self._network:
            _opening[self._network] += 1
        self.is_one_too_many = _opening[self._network] > settings.OPENING_SOCKETS_PER_ADDRESS

    def end(self) -> None:
        """Signed in or gone. A second time changes nothing."""
        if self._network:
            _opening[self._network] -= 1
            if _opening[self._network] <= 0:
                del _opening[self._network]
        self._network = ""
