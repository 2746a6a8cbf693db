"""Django's ASGI handler with one thread switch per request, in a bounded pool.

Django switches threads for each synchronous middleware of an asynchronous chain (about twenty times a request here,
each waiting for the interpreter lock) and runs every request in a thread of its own. Here the chain is synchronous and
runs as a whole in a pool. When many requests arrive together (two hundred drivers accepting one trip), they wait in a
queue instead of taking the interpreter lock from the event loop, and the sockets get the outcome immediately. The
requests of one client run one after the other, and those of one network leave a thread to others, as a client can name
itself anew with each request.

Requests that hash a password run in a small pool of their own: a hash takes a hundred times as long as the rest of a
request, so many people who sign in together would occupy every thread. A bounded number of them waits for this pool.
"""

import asyncio
import re
from concurrent.futures import ThreadPoolExecutor
from os import SEEK_END
from typing import Any

from django.conf import settings
from django.core.handlers.asgi import ASGIHandler
from django.utils.translation import gettext_lazy as _

from stepper.errors import Unavailable
from stepper.server.admission import REFUSED_PAUSE_S, Client, TooManyWaiting, run_admitted
from stepper.server.proxies import network_of

request_pool = ThreadPoolExecutor(settings.DATABASE_THREADS, thread_name_prefix="http")
_hashing_pool = ThreadPoolExecutor(settings.SIGN_IN_THREADS, thread_name_prefix="hashing")

# Requests that may hash a password: every POST to an account's pages except signing out, ending sessions, asking for a
# mail, and codes by SMS (so a new page counts as one until it is excluded here), creating tokens, confirming with the
# password, and staff who set passwords.
_HASHES = re.compile(
    r"/accounts/(?!logout/|sessions/|password/reset/$|phone/|sign-in/phone/$)|/api/token(?:/confirm)?/?$"
    r"|/admin/(?:password_change|stepper/user)/"
)
# Requests that name neither a token nor a session.
_NOBODY = "nobody"


class PooledHandler(ASGIHandler):
    def __init__(self) -> None:
        super().__init__()
        self._hashing = 0

    def load_middleware(self, is_async: bool = False) -> None:
        super().load_middleware(is_async=False)

    def create_request(self, scope: Any, body_file: Any) -> Any:
        """Set the length of a body sent in chunks: the REST framework treats a body without a length as empty."""
        request, refusal = super().create_request(scope, body_file)
        if request is not None and "CONTENT_LENGTH" not in request.META:
            size = body_file.seek(0, SEEK_END)
            body_file.seek(0)
            if size:
                request.META["CONTENT_LENGTH"] = str(size)
        return request, refusal

    async def get_response_async(self, request: Any) -> Any:
        hashes = request.method == "POST" and _HASHES.match(request.path_info)
        response = await (self._hash(request) if hashes else self._answer(request))
        if response.status_code == 429 or (response.status_code == 401 and request.path_info.startswith("/api/token")):
            # Over a limit, or with a token that is none, which has no limit. Who it is has not been checked: with
            # another name its next request would not wait, so the answer does.
            await asyncio.sleep(REFUSED_PAUSE_S)
        return response

    async def _answer(self, request: Any) -> Any:
        client = _client(request)
        # Strangers of one network do not wait for what one of them was refused.
        pause_s = None if client.name == _NOBODY else _pause_s
        try:
            return await run_admitted(self.get_response, request, client=client, pool=request_pool, pause_s=pause_s)
        except TooManyWaiting:
            request.refusal = Unavailable(
                "server.busy", _("Too many requests are waiting. Try again in a few seconds.")
            )
            return await run_admitted(self.get_response, request, client=None, pool=request_pool)

    async def _hash(self, request: Any) -> Any:
        if self._hashing >= settings.SIGN_IN_THREADS + settings.SIGN_IN_QUEUE:
            request.refusal = Unavailable("server.busy", _("Many people are signing in. Try again in a few seconds."))
            return await self._answer(request)
        self._hashing += 1
        try:
            return await run_admitted(self.get_response, request, client=None, pool=_hashing_pool)
        finally:
            self._hashing -= 1


def _client(request: Any) -> Client:
    """Return the token or session that the request names, in its network; nothing of it has been checked.

    Static files are not told apart: a page asks for all of its files together.
    """
    network = network_of(request.META.get("REMOTE_ADDR", ""))
    if request.path_info.startswith(settings.STATIC_URL):
        return Client(network)
    if token := request.headers.get("Authorization"):
        return Client(network, f"token {token}")
    name = settings.SESSION_COOKIE_NAME
    # The second is the name from before the prefix (stepper.web.cookies).
    key = request.COOKIES.get(name) or request.COOKIES.get(name.removeprefix(settings.COOKIE_PREFIX), "")
    return Client(network, f"session {key}" if key else _NOBODY)


def _pause_s(response: Any) -> float:
    return REFUSED_PAUSE_S if response.status_code == 429 else 0
