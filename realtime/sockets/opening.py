"""Count of the connections of one address whose user is not known yet.

Thousands of people can share one address of a mobile carrier, so signed-in sockets are counted only by account
(`realtime.sockets.counts`). This count limits the work for users who are not known yet.
"""

from collections import Counter
from typing import Any

from django.conf import settings

from stepper.server.proxies import network_of

_opening: Counter[str] = Counter()


class Opening:
    """A connection whose user is not known yet; counted until `end`."""

    __slots__ = ("_network", "is_one_too_many")

    def __init__(self, scope: dict[str, Any]) -> None:
        client = scope.get("client")
        # Without an address (behind a UNIX socket) the connection is not counted: all clients would count as one.
        self._network = network_of(str(client[0])) if client and client[0] else ""
        if self._network:
            _opening[self._network] += 1
        self.is_one_too_many = _opening[self._network] > settings.OPENING_SOCKETS_PER_ADDRESS

    def end(self) -> None:
        """Stop counting the connection: its user is known, or it has closed. Repeating it changes nothing."""
        if self._network:
            _opening[self._network] -= 1
            if _opening[self._network] <= 0:
                del _opening[self._network]
        self._network = ""
