"""ASGI middleware that refuses a body that is too large or too slow before the application has read it.

A body whose Content-Length is over the limit is not read; the bytes of a chunked body are counted. The application
itself renders the refusal (`stepper.web.middleware.RefusalMiddleware`), as JSON under the API and as a page elsewhere.
Then the connection is closed, because the rest of the body is still being sent.
"""

import asyncio
from io import BytesIO
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user
from django.core.handlers.asgi import ASGIRequest
from django.db import InterfaceError, OperationalError
from django.utils.translation import gettext_lazy as _

from stepper.accounts.session_store import SessionStore
from stepper.api.base import authenticate_token
from stepper.api.errors import ProtocolError
from stepper.errors import DomainError, Unavailable
from stepper.server.admission import run_admitted
from stepper.server.handler import request_pool
from stepper.server.request_limits import LENGTH_DIGITS, MAX_BODY_BYTES, REFUSAL, largest_body
from stepper.web.cookies import session_key


class BodyLimits:
    def __init__(self, application: Any) -> None:
        self._application = application

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        length = declared_length(scope)
        if length == 0:
            await self._application(scope, receive, send)
            return
        try:
            limit = await _limit(scope, length)
        except (OperationalError, InterfaceError):
            away = Unavailable("server.unavailable", _("Please try again in a moment."))
            await self._refuse(away, scope, send)
            return
        if length is not None and length > limit:
            await self._refuse(_too_large(), scope, send)
            return
        body = LimitedBody(receive, limit)
        await self._application(scope, body.receive, send)
        if body.refusal is not None:
            await self._refuse(body.refusal, scope, send)

    async def _refuse(self, refusal: DomainError, scope: dict[str, Any], send: Any) -> None:
        """Call the application without the body, to answer the request with `refusal`."""
        is_sent = False

        async def receive_nothing() -> dict[str, Any]:
            nonlocal is_sent
            if is_sent:
                # Wait for ever: calling the server's `receive` would make it read the body.
                await asyncio.get_running_loop().create_future()
            is_sent = True
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send_and_close(message: dict[str, Any]) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message.get("headers", ()), (b"connection", b"close")]}
            await send(message)

        await self._application({**scope, REFUSAL: refusal}, receive_nothing, send_and_close)


class LimitedBody:
    """A body while it is received. When `refusal` is set, the application gets a disconnect message.

    Args:
        receive: the server's.
        limit: bytes.
    """

    def __init__(self, receive: Any, limit: int) -> None:
        self.refusal: DomainError | None = None
        self._receive = receive
        self._limit = limit
        self._received = 0
        self._is_complete = False
        # A larger body has more time, so that the minimum speed stays the same.
        self._ends_at = asyncio.get_running_loop().time() + settings.REQUEST_BODY_S * max(1, limit / MAX_BODY_BYTES)

    async def receive(self) -> dict[str, Any]:
        if self._is_complete:
            message: dict[str, Any] = await self._receive()
            return message
        try:
            now = asyncio.get_running_loop().time()
            async with asyncio.timeout_at(min(now + settings.REQUEST_BODY_SILENCE_S, self._ends_at)):
                message = await self._receive()
        except TimeoutError:
            return self._refused(ProtocolError(408, "input.too_slow", _("The body did not arrive in time.")))
        self._received += len(message.get("body", b""))
        if self._received > self._limit:
            return self._refused(_too_large())
        self._is_complete = not message.get("more_body", False)
        return message

    def _refused(self, refusal: DomainError) -> dict[str, Any]:
        self.refusal = refusal
        return {"type": "http.disconnect"}


def declared_length(scope: dict[str, Any]) -> int | None:
    """Return the length of a request's body by its headers, in bytes; None: unknown, so count the bytes."""
    length = 0
    for name, value in scope["headers"]:
        if name == b"transfer-encoding":
            return None
        if name == b"content-length":
            # uvicorn's parser accepts blanks around the number and keeps them.
            digits = value.strip(b" \t")
            if not digits.isdigit():
                return None
            length = max(length, int(digits.lstrip(b"0")[:LENGTH_DIGITS] or 0))
    return length


def is_signed_in(scope: dict[str, Any]) -> bool:
    """Say whether a request has the session or the token of an active account. Reads the database."""
    request = ASGIRequest({**scope, "query_string": b""}, BytesIO())
    kind, _space, token = request.headers.get("Authorization", "").partition(" ")
    if kind.lower() == "bearer":
        return authenticate_token(token) is not None
    request.session = SessionStore(session_key(request.COOKIES))
    return get_user(request).is_authenticated


async def _limit(scope: dict[str, Any], length: int | None) -> int:
    """Return the number of bytes this request may send; check whether it is signed in only if that matters."""
    limit = largest_body(scope["path"])
    if limit <= MAX_BODY_BYTES or (length is not None and length <= MAX_BODY_BYTES):
        return limit
    return limit if await run_admitted(is_signed_in, scope, client=None, pool=request_pool) else MAX_BODY_BYTES


def _too_large() -> DomainError:
    return ProtocolError(413, "input.too_large", _("The body is too large."))
