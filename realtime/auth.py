"""Authentication of a socket: the session cookie of our pages, or the bearer token of a program.

A socket's identity comes only from here, never from a frame. A cookie is accepted only together with an Origin of ours,
because browsers send cookies from any page; programs send neither.
"""

import datetime as dt
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from channels.security.websocket import AllowedHostsOriginValidator
from django.conf import settings
from django.contrib.auth import get_user
from django.contrib.sessions.backends.db import SessionStore
from django.http import HttpRequest, parse_cookie
from django.utils import timezone
from django.utils.translation import get_supported_language_variant
from django.utils.translation import gettext_lazy as _
from msgspec import Struct
from msgspec.structs import replace

from stepper.api.tokens import token_claims
from stepper.errors import NotPermitted, NotSignedIn
from stepper.models import User

from .events import PROTOCOL


class Identity(Struct, frozen=True):
    """A signed-in user and their session, which is read again when somebody's rights change and when it expires.

    A program's is the session of its access token: the socket outlives the token, but not the session.
    """

    user: User
    language: str
    session_key: str
    # When the session ends, unless it is prolonged before.
    expires_at: dt.datetime

    def renewed(self) -> "Identity | None":
        """With the user as the database has them now; None: the session has ended or the account is not active."""
        found = _session_user(self.session_key)
        return None if found is None else replace(self, user=found[0], expires_at=found[1])


def _header(scope: dict[str, Any], name: bytes) -> str:
    return next((value.decode("latin-1") for key, value in scope.get("headers", []) if key == name), "")


def bearer(scope: dict[str, Any]) -> str | None:
    """The token among the subprotocols `["stepper.v1", "bearer.<token>"]`."""
    offered = scope.get("subprotocols") or []
    return next((one.removeprefix("bearer.") for one in offered if one.startswith("bearer.")), None)


def accepted_subprotocol(scope: dict[str, Any]) -> str | None:
    """Only the protocol's own name is echoed, never the token."""
    return PROTOCOL if PROTOCOL in (scope.get("subprotocols") or []) else None


def origin_is_ours(origin: str) -> bool:
    """Say whether an Origin is a page of ours: on a host of ALLOWED_HOSTS, or one of CSRF_TRUSTED_ORIGINS.

    Hosts are compared by Channels' validator, but only asked: by itself it would refuse the handshake, and a browser
    shows its page no code for that. And it takes any scheme, as of a file.
    """
    try:
        parts = urlsplit(origin)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            return False
        return bool(AllowedHostsOriginValidator(None).valid_origin(parts)) or origin in settings.CSRF_TRUSTED_ORIGINS
    except ValueError:  # "http://[" is no address at all
        return False


def _session_user(session_key: str) -> tuple[User, dt.datetime] | None:
    """The active user of a session and when it expires; None: there is no such session, or no such user any more."""
    session = SessionStore(session_key)
    # As the store itself would read it; asking the store afterwards when it expires would be a second query.
    row = session.model.objects.filter(session_key=session_key, expire_date__gt=timezone.now()).first()
    if row is None:
        return None
    request = HttpRequest()
    request.session = session
    session._session_cache = session.decode(row.session_data)  # type: ignore[attr-defined]
    user = get_user(request)
    return (user, row.expire_date) if isinstance(user, User) and user.is_active else None


def identify(scope: dict[str, Any]) -> Identity:
    """Identify the user of a socket. Reads the database, so call it in a database thread.

    Raises:
        NotSignedIn: auth.required, auth.token_invalid
        NotPermitted: auth.origin_refused, a cookie came from a page that is not ours
    """
    token = bearer(scope)
    if token is not None:
        found = _token_user(token)
        if found is None:
            raise NotSignedIn("auth.token_invalid", _("The token is wrong, expired or revoked."))
        return found
    # Parsed as Django parses them for pages. Channels' CookieMiddleware would also do it for sockets with a token.
    cookies = parse_cookie(_header(scope, b"cookie"))
    session_key = cookies.get(settings.SESSION_COOKIE_NAME)
    if session_key is None:
        raise NotSignedIn("auth.required", _("Please sign in."))
    if not origin_is_ours(_header(scope, b"origin")):
        raise NotPermitted("auth.origin_refused", _("This page may not open a connection here."))
    signed_in = _session_user(session_key)
    if signed_in is None:
        raise NotSignedIn("auth.required", _("Please sign in."))
    user, expires_at = signed_in
    return Identity(user=user, language=_language(cookies, user), session_key=session_key, expires_at=expires_at)


def _token_user(token: str) -> Identity | None:
    claims = token_claims(token)
    signed_in = _session_user(claims.session_key) if claims is not None else None
    if claims is None or signed_in is None or str(signed_in[0].pk) != claims.user_id:
        return None
    user, expires_at = signed_in
    return Identity(user=user, language=user.language, session_key=claims.session_key, expires_at=expires_at)


def _language(cookies: Mapping[str, str], user: User) -> str:
    """The page's language, so that its fragments match it."""
    try:
        return get_supported_language_variant(cookies.get(settings.LANGUAGE_COOKIE_NAME, user.language))
    except LookupError:
        return user.language
