"""Counting one socket: for its address until the user is known, then for the account."""

from typing import Any

from django.conf import settings
from django.utils.translation import gettext_lazy as _

from realtime.sockets.counts import AccountSockets, counts
from realtime.sockets.opening import Opening
from stepper.errors import TooManyRequests


class CountedSocket:
    """One socket in the counts of its address or its account, until `end`."""

    __slots__ = ("_opening", "_user_id")

    def __init__(self, scope: dict[str, Any]) -> None:
        self._opening: Opening | None = Opening(scope)
        # The account that the socket is counted for; None: no account.
        self._user_id: int | None = None

    def require_room(self) -> None:
        """Require that the address opens at most OPENING_SOCKETS_PER_ADDRESS sockets at a time.

        Raises:
            TooManyRequests: socket.too_many_opening
        """
        if self._opening is not None and self._opening.is_one_too_many:
            raise TooManyRequests(
                "socket.too_many_opening", _("Too many connections from your network are being opened."), 5
            )

    async def sign_in(self, user_id: int) -> AccountSockets:
        """Count the socket for the account instead of the address; return the account's sockets in this process.

        A link to a shared trip counts like an account, by the negative of its id.

        Raises:
            TooManyRequests: socket.too_many, beyond SOCKETS_PER_USER in all processes together
        """
        self._end_opening()
        account, number = await counts.add(user_id)
        self._user_id = user_id
        if number > settings.SOCKETS_PER_USER:
            self.end()
            raise TooManyRequests("socket.too_many", _("Too many connections of one account."), 60)
        return account

    def end(self) -> None:
        """Stop counting the socket. Repeating it changes nothing."""
        self._end_opening()
        if self._user_id is not None:
            counts.remove(self._user_id)
            self._user_id = None

    def _end_opening(self) -> None:
        if self._opening is not None:
            self._opening.end()
            self._opening = None
