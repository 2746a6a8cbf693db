"""Authentication of a socket: the session cookie of our pages, or the bearer token of a program.

A socket's identity comes only from here, never from a frame. A cookie is accepted only together with an Origin of ours,
because browsers send cookies from any page; programs send neither.
"""

import datetime as dt
from typing import Any
from urllib.parse import SplitResult, urlsplit

from django.conf import settings
from django.contrib.auth import get_user
from django.http import HttpRequest, parse_cookie
from django.http.request import split_domain_port, validate_host
from django.utils.http import is_same_domain
from django.utils.translation import gettext_lazy as _
from msgspec import Struct
from msgspec.structs import replace

from stepper.accounts import sessions
from stepper.accounts.session_store import SessionStore
from stepper.api.tokens import token_claims
from stepper.errors import HTTPS_REQUIRED, NotPermitted, NotSignedIn
from stepper.models import User
from stepper.web.cookies import session_key as find_session_key

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


def origin_is_ours(scope: dict[str, Any]) -> bool:
    """Say whether the Origin of a handshake is a page of ours: of the address that was called, or a trusted one.

    As Django checks forms: scheme, host and port are those of the handshake, by the Host header, which ALLOWED_HOSTS
    must name; or the origin is one of CSRF_TRUSTED_ORIGINS. Where HTTPS is set only an https page is ours, also if the
    proxy says nothing of the scheme.
    """
    origin, host = _header(scope, b"origin"), _header(scope, b"host")
    try:
        parts, called = urlsplit(origin), urlsplit(f"//{host}")
        address = parts.hostname, parts.port or _PORTS.get(parts.scheme)
        here = called.hostname, called.port
    except ValueError:  # "http://[" is no address at all
        return False
    if parts.scheme not in _PORTS or not parts.hostname:
        return False
    if any(_is_trusted(origin, parts, trusted) for trusted in settings.CSRF_TRUSTED_ORIGINS):
        return True
    scheme = "https" if settings.HTTPS or scope.get("scheme") in ("wss", "https") else "http"
    is_here = (parts.scheme, *address) == (scheme, here[0], here[1] or _PORTS[scheme])
    return is_here and validate_host(split_domain_port(host)[0], settings.ALLOWED_HOSTS)


_PORTS = {"http": 80, "https": 443}


def _is_trusted(origin: str, parts: SplitResult, trusted: str) -> bool:
    """Compare an origin with a member of CSRF_TRUSTED_ORIGINS, which may stand for subdomains: `https://*.kz`."""
    if "*" not in trusted:
        return origin == trusted
    pattern = urlsplit(trusted)
    return parts.scheme == pattern.scheme and is_same_domain(parts.netloc, pattern.netloc.lstrip("*"))


def _session_user(session_key: str, scope: dict[str, Any] | None = None) -> tuple[User, dt.datetime] | None:
    """The active user of a session and when it expires; None: there is no such session, or no such user any more.

    `scope`: of a socket that is being opened with the session, which counts as having seen it.
    """
    session = SessionStore(session_key)
    # Asking the store when it expires would be a second query.
    row = session._get_session_from_db()
    if row is None:
        return None
    request = HttpRequest()
    request.session = session
    session._session_cache = session.decode(row.session_data)
    user = get_user(request)
    if not isinstance(user, User) or not user.is_active:
        return None
    if scope is not None:
        address = (scope.get("client") or [""])[0]
        sessions.mark_seen(session, address=address, user_agent=_header(scope, b"user-agent"))
    return user, row.expire_date


def require_tls(scope: dict[str, Any]) -> None:
    """Refuse a socket without TLS where HTTPS is set. Raises NotPermitted (https.required)."""
    if settings.HTTPS and scope.get("scheme") != "wss":
        raise NotPermitted("https.required", HTTPS_REQUIRED)


def identify(scope: dict[str, Any]) -> Identity:
    """Identify the user of a socket. Reads the database, so call it in a database thread.

    Raises:
        NotSignedIn: auth.required, auth.token_invalid
        NotPermitted: auth.origin_refused, a cookie came from a page that is not ours; https.required
    """
    require_tls(scope)
    token = bearer(scope)
    if token is not None:
        found = _token_user(token, scope)
        if found is None:
            raise NotSignedIn("auth.token_invalid", _("The token is wrong, expired or revoked."))
        return found
    # Parsed as Django parses them for pages. Channels' CookieMiddleware would also do it for sockets with a token.
    cookies = parse_cookie(_header(scope, b"cookie"))
    session_key = find_session_key(cookies)
    if session_key is None:
        raise NotSignedIn("auth.required", _("Please sign in."))
    if not origin_is_ours(scope):
        raise NotPermitted("auth.origin_refused", _("This page may not open a connection here."))
    signed_in = _session_user(session_key, scope)
    if signed_in is None:
        raise NotSignedIn("auth.required", _("Please sign in."))
    user, expires_at = signed_in
    return Identity(user=user, language=user.offered_language, session_key=session_key, expires_at=expires_at)


def _token_user(token: str, scope: dict[str, Any]) -> Identity | None:
    claims = token_claims(token)
    signed_in = _session_user(claims.session_key, scope) if claims is not None else None
    if claims is None or signed_in is None or str(signed_in[0].pk) != claims.user_id:
        return None
    user, expires_at = signed_in
    return Identity(user=user, language=user.offered_language, session_key=claims.session_key, expires_at=expires_at)
