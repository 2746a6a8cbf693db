"""Sign-in for programs: access and refresh tokens that belong to a session, and who a token speaks for.

A token is worth what its session is worth: signing out, a new password or a deactivated account ends all three.
Passwords are checked through allauth's adapter, so its limits on failures apply; a wrong password, an unknown
account and a deactivated one get the same answer.
"""

import os
import threading
from importlib import import_module
from typing import Any, NamedTuple

# allauth reaches for these through a lazy module that fails once something else has imported a part of the package.
import cryptography.hazmat.primitives.ciphers.algorithms
import cryptography.hazmat.primitives.ciphers.modes  # noqa: F401
from allauth.account.adapter import get_adapter
from allauth.headless import app_settings
from allauth.headless.tokens.strategies.jwt import JWTTokenStrategy
from allauth.headless.tokens.strategies.jwt import internal as jwt_tokens
from django.conf import settings
from django.contrib.auth import get_user, login, logout
from django.contrib.sessions.backends.base import SessionBase, UpdateError
from django.core.exceptions import ValidationError
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _
from rest_framework import serializers
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from . import limits
from .accounts import normal_phone
from .api import BearerAuthentication, StringField, read
from .errors import NotSignedIn, TooManyRequests
from .models import User

strategy = JWTTokenStrategy()

# A password costs 19 MiB and a core: a crowd signing in at once waits here instead of exhausting the machine,
# and does not count as failing while it waits.
_checking = threading.BoundedSemaphore(max(2, os.cpu_count() or 2))


def authenticate_token(token: str) -> User | None:
    """The active user whose session the access token belongs to; None: wrong, expired or revoked."""
    try:
        user, _payload = BearerAuthentication().authenticate_credentials(token)
    except AuthenticationFailed:
        return None
    return user


class TokenClaims(NamedTuple):
    """What a genuine access token says: whose it is, and the session it is worth as much as."""

    user_id: str
    session_key: str


def token_claims(token: str) -> TokenClaims | None:
    """What an access token claims, for who reads the session themselves; None: wrong or expired."""
    payload = jwt_tokens.decode_token(token, "access")
    session_key = jwt_tokens.session_key_from_sid(payload["sid"]) if payload is not None else None
    return TokenClaims(payload["sub"], session_key) if payload is not None and session_key else None


class SignInSerializer(serializers.Serializer[Any]):
    email = StringField(max_length=254, required=False)
    phone = StringField(max_length=40, required=False)
    password = StringField(max_length=1024, trim_whitespace=False)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if ("email" in attrs) == ("phone" in attrs):
            raise serializers.ValidationError({"email": [_("Give either an e-mail address or a phone number.")]})
        return attrs


class RefreshSerializer(serializers.Serializer[Any]):
    refresh = StringField(max_length=4096)


def _bare_request(session: SessionBase) -> HttpRequest:
    """A request that carries nothing but a session: signing in to a token must not touch the caller's cookies."""
    request = HttpRequest()
    request.session = session
    request.user = get_user(request)
    return request


def _tokens(access: str, refresh: str) -> dict[str, Any]:
    return {"access": access, "refresh": refresh, "expires_in": app_settings.JWT_ACCESS_TOKEN_EXPIRES_IN}


def check_password(request: HttpRequest, credentials: dict[str, str]) -> User:
    """The active user of an e-mail address or phone number and its password.

    Raises:
        NotSignedIn: auth.invalid_credentials, whatever of them is wrong.
        TooManyRequests: too many failures of this account or from this address.
    """
    if "phone" in credentials:
        credentials = {**credentials, "phone": normal_phone(credentials["phone"]) or credentials["phone"]}
    with _checking:
        try:
            user = get_adapter().authenticate(request, **credentials)
        except ValidationError as error:
            raise TooManyRequests(
                "rate.limited", _("Too many failed attempts. Try again in a minute."), limits.WINDOW_S
            ) from error
    if not isinstance(user, User) or not user.is_active:
        raise NotSignedIn("auth.invalid_credentials", _("The account or the password is wrong."))
    return user


def sign_in(user: User) -> dict[str, Any]:
    """Opens a session for a program and returns its tokens."""
    request = _bare_request(import_module(settings.SESSION_ENGINE).SessionStore())
    login(request, user, backend=settings.AUTHENTICATION_BACKENDS[0])
    made = strategy.create_access_token_payload(request)
    request.session.save()
    return _tokens(made["access_token"], made["refresh_token"])


def refresh_tokens(refresh: str) -> dict[str, Any]:
    """Raises NotSignedIn (auth.token_invalid): wrong, expired, used before, or its session has ended."""
    try:
        pair = strategy.refresh_token(refresh)
    except UpdateError:  # the session ended while this ran
        pair = None
    if pair is None:
        raise NotSignedIn("auth.token_invalid", _("The token is wrong, expired or revoked."))
    return _tokens(*pair)


def end_session(access: str) -> None:
    """Ends the session of an access token: none of its tokens is worth anything afterwards."""
    bearer = HttpRequest()
    bearer.META["HTTP_AUTHORIZATION"] = f"Bearer {access}"
    key = strategy.get_session_token(bearer)
    session = strategy.lookup_session(key) if key else None
    if session is None:
        return
    request = _bare_request(session)
    logout(request)


class TokenView(APIView):
    """Sign in: e-mail or phone and password for tokens."""

    authentication_classes = ()
    permission_classes = ()

    def post(self, request: Request) -> Response:
        credentials = read(request, SignInSerializer)
        return Response(sign_in(check_password(request._request, credentials)))


class TokenRefreshView(APIView):
    """A new pair for a refresh token, which is used up."""

    authentication_classes = ()
    permission_classes = ()

    def post(self, request: Request) -> Response:
        return Response(refresh_tokens(read(request, RefreshSerializer)["refresh"]))


class TokenRevokeView(APIView):
    """Sign out: ends the session behind the bearer token, or behind `refresh` where the other has expired."""

    authentication_classes = ()
    permission_classes = ()

    def post(self, request: Request) -> Response:
        scheme, _space, access = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not access.strip():
            access = refresh_tokens(read(request, RefreshSerializer)["refresh"])["access"]
        elif authenticate_token(access.strip()) is None:
            raise NotSignedIn("auth.token_invalid", _("The token is wrong, expired or revoked."))
        end_session(access.strip())
        return Response(status=204)
