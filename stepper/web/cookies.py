"""Names of cookies: the prefix that they have under HTTPS, and the names from before, which still count for a while.

A cookie whose name begins with `__Host-` was set by this host over TLS. Sessions last 30 days, so drivers on the road
would be signed out by an upgrade: a cookie of the old name counts as well where the browser has none of the new one,
and the answer gives it that. Another host of the domain can plant a cookie of the old name, to have somebody act in its
account unawares; so a session that was opened since, which is marked, is not accepted under the old name. One of before
ends 30 days after the release before last saved it (`stepper.accounts.session_store`): 30 days after the last server of
that release has stopped there is none left, and this module can go.
"""

from collections.abc import Callable, Mapping
from typing import Any

from django.conf import settings
from django.contrib.auth import user_logged_in
from django.contrib.messages.storage.cookie import CookieStorage
from django.contrib.messages.storage.fallback import FallbackStorage
from django.contrib.messages.storage.session import SessionStorage
from django.http import HttpRequest, HttpResponseBase
from rest_framework.authentication import CSRFCheck

from stepper.accounts.session_store import SessionStore

# In a session: it was opened when its cookie had the prefix.
PREFIXED = "cookie_prefixed"


class MessageCookies(CookieStorage):
    cookie_name = f"{settings.COOKIE_PREFIX}messages"


class MessageStorage(FallbackStorage):
    storage_classes = (MessageCookies, SessionStorage)


def session_key(cookies: Mapping[str, str]) -> str | None:
    """Return the key of the session that cookies name; None: they name none. Reads the database for an old name."""
    key = cookies.get(settings.SESSION_COOKIE_NAME)
    return key if key is not None else _old_session_key(cookies)


def _old_session_key(cookies: Mapping[str, str]) -> str | None:
    name = settings.SESSION_COOKIE_NAME
    key = cookies.get(name.removeprefix(settings.COOKIE_PREFIX))
    if key is None or name in cookies or not settings.COOKIE_PREFIX:
        return None
    session = SessionStore(key)
    return key if session.keys() and PREFIXED not in session else None


class OldCookiesMiddleware:
    """Read cookies of the names from before, and give a session that is found so a cookie of the new name."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if not settings.COOKIE_PREFIX:
            return self._get_response(request)
        # A form that was open during the upgrade brings the token of the old cookie. Its origin is checked besides.
        for name in (settings.CSRF_COOKIE_NAME, f"{settings.COOKIE_PREFIX}device"):
            old = request.COOKIES.get(name.removeprefix(settings.COOKIE_PREFIX))
            if old is not None:
                request.COOKIES.setdefault(name, old)
        key = _old_session_key(request.COOKIES)
        if key is not None:
            request.COOKIES[settings.SESSION_COOKIE_NAME] = key
        response = self._get_response(request)
        if key is not None and settings.SESSION_COOKIE_NAME not in response.cookies:
            _set_session_cookie(response, key)
        return response

    def process_view(self, request: HttpRequest, view: Callable[..., Any], _args: Any, _kwargs: Any) -> None:
        """Accept a form of the release before, whose servers know the old cookie alone.

        A browser that signs in at an old server and has been at a new one has both CSRF cookies, with different
        secrets. The origin is checked whichever of them the form has.
        """
        name = settings.CSRF_COOKIE_NAME
        old = request.COOKIES.get(name.removeprefix(settings.COOKIE_PREFIX))
        new = request.COOKIES.get(name)
        if not settings.COOKIE_PREFIX or old is None or new in {None, old} or getattr(view, "csrf_exempt", False):
            return
        request.COOKIES[name] = old
        if CSRFCheck(self._get_response).process_view(request, view, (), {}) is not None:
            request.COOKIES[name] = new  # Django's own check says what is wrong


def _set_session_cookie(response: HttpResponseBase, key: str) -> None:
    # The old one stays: servers of the release before may run beside this one. It names the same session.
    response.set_cookie(
        settings.SESSION_COOKIE_NAME,
        key,
        max_age=settings.SESSION_COOKIE_AGE,
        secure=True,
        httponly=True,
        samesite=settings.SESSION_COOKIE_SAMESITE,
    )


def connect() -> None:
    """Connect the receiver; called once, when Django has loaded the apps."""
    user_logged_in.connect(_mark_session, dispatch_uid="stepper.web.cookies")


def _mark_session(request: HttpRequest, **_more: Any) -> None:
    if settings.COOKIE_PREFIX:
        request.session[PREFIXED] = True
