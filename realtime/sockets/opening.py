"""How many connections of one address are not signed in yet.

A mobile carrier is one address for thousands of people, so signed-in sockets are counted by account only
(`realtime.sockets.counts`). What is counted here is what costs the server work for somebody it does not know.
"""

from collections import Counter
from typing import Any

from django.conf import settings

from stepper.server.proxies import network_of

_opening: Counter[str] = Counter()


class Opening:
    """A connection that nobody has signed in to yet; counted until `end`."""

    __slots__ = ("_network", "is_one_too_many")

    def __init__(self, scope: dict[str, Any]) -> None:
        client = scope.get("client")
        # Where the server does not say, as behind a UNIX socket, everybody would be counted as one.
        self._network = network_of(str(client[0])) if client and client[0] else ""
        if self._network:
            _opening[self._network] += 1
        self.is_one_too_many = _opening[self._network] > settings.OPENING_SOCKETS_PER_ADDRESS

    def end(self) -> None:
        """Count it no more: somebody has signed in, or it is gone. A second time changes nothing."""
        if self._network:
            _opening[self._network] -= 1
            if _opening[self._network] <= 0:
                del _opening[self._network]
        self._network = ""
