"""Sign-in for programs: access and refresh tokens that belong to a session, and who a token speaks for.

A token is worth what its session is worth: signing out, a new password or a deactivated account ends all three.
A wrong password, an unknown account and a deactivated one get the same answer.

A refresh token works once. Whoever presents one that is used up may have stolen it, or the one who used it has: so the
session ends, and with it every token that came from it (RFC 9700, section 4.14.2).
"""

from typing import Any, NamedTuple

# allauth finds these through a lazy module that fails once something else has imported a part of the package.
import cryptography.hazmat.primitives.ciphers.algorithms
import cryptography.hazmat.primitives.ciphers.modes  # noqa: F401
from allauth.account.signals import user_signed_up
from allauth.headless import app_settings
from allauth.headless.tokens.strategies.jwt import JWTTokenStrategy
from allauth.headless.tokens.strategies.jwt import internal as jwt_tokens
from django.conf import settings
from django.contrib.auth import get_user, login, logout
from django.contrib.sessions.backends.base import SessionBase, UpdateError
from django.contrib.sessions.models import Session
from django.http import HttpRequest
from django.utils.translation import get_language
from django.utils.translation import gettext_lazy as _
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from stepper import security_log
from stepper.accounts import codes, confirmation, phone_codes, phone_proofs, sessions
from stepper.accounts.session_store import IS_STAFF, SessionStore
from stepper.accounts.sign_in import authenticate, check_code
from stepper.api.base import PasswordField, StringField, authenticate_token, read
from stepper.db.transactions import in_transaction
from stepper.errors import InvalidInput, NotSignedIn
from stepper.models import PhonePurpose, SecurityEventCode, User
from stepper.texts import clean_line

strategy = JWTTokenStrategy()


class TokenClaims(NamedTuple):
    """What a genuine access token says: whose it is, and the session it is worth as much as."""

    user_id: str
    session_key: str


def token_claims(token: str) -> TokenClaims | None:
    """Decode what an access token claims, for who reads the session themselves; None: wrong or expired."""
    payload = jwt_tokens.decode_token(token, "access")
    session_key = session_key_of(payload) if payload is not None else None
    return TokenClaims(payload["sub"], session_key) if payload is not None and session_key else None


def session_key_of(payload: dict[str, Any]) -> str | None:
    """Decrypt the key of the session that a genuine token belongs to; None: it names none."""
    key: str | None = jwt_tokens.session_key_from_sid(payload["sid"])
    return key


class SignInSerializer(serializers.Serializer[Any]):
    email = StringField(max_length=254, required=False)
    phone = StringField(max_length=40, required=False)
    password = PasswordField(required=False)
    # Of a second factor; without a password that of the SMS.
    code = StringField(max_length=20, required=False)
    # What the answer to `POST /api/phone/code` named; a second factor, and the name of a new account, beside it.
    request = StringField(max_length=100, required=False)
    second_factor = StringField(max_length=20, required=False)
    name = StringField(max_length=80, required=False)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        wanted = ["phone", "code"] if "request" in attrs else ["password"]
        required = serializers.Field.default_error_messages["required"]
        wrong = {name: [required] for name in wanted if name not in attrs}
        if ("email" in attrs) == ("phone" in attrs):
            wrong["email"] = [_("Give either an e-mail address or a phone number.")]
        if "request" in attrs and "password" in attrs:
            wrong["password"] = [_("Give either a password or a code by SMS.")]
        if wrong:
            raise serializers.ValidationError(wrong)
        return attrs


class PhoneSerializer(serializers.Serializer[Any]):
    phone = StringField(max_length=40)


class RefreshSerializer(serializers.Serializer[Any]):
    refresh = StringField(max_length=4096)


def _bare_request(session: SessionBase) -> HttpRequest:
    """Make a request that carries nothing but a session: signing in to a token must not touch the caller's cookies."""
    request = HttpRequest()
    request.session = session
    request.user = get_user(request)
    return request


def _tokens(access: str, refresh: str) -> dict[str, Any]:
    return {"access": access, "refresh": refresh, "expires_in": app_settings.JWT_ACCESS_TOKEN_EXPIRES_IN}


def check_credentials(request: HttpRequest, credentials: dict[str, str]) -> User:
    """Find the active user of an e-mail address or phone number, its password, and the code of a second factor.

    Raises:
        NotSignedIn: auth.invalid_credentials, whatever of them is wrong; auth.code_required, auth.code_invalid.
        TooManyRequests: rate.limited, too many failures or sign-ins of this account or from this address.
    """
    code = credentials.get("code", "")
    login = {name: credentials[name] for name in ("email", "phone", "password") if name in credentials}
    user = authenticate(request, **login)
    if user is None or not user.is_active:
        raise NotSignedIn("auth.invalid_credentials", _("The account or the password is wrong."))
    if codes.has_second_factor(user):
        _check_second_factor(request, user, code)
    return user


def _check_second_factor(request: HttpRequest, user: User, code: str) -> None:
    if not code:
        raise NotSignedIn("auth.code_required", _("Send the code of your authenticator app, or a recovery code."))
    if not check_code(request, user, code):
        raise NotSignedIn("auth.code_invalid", _("This code is wrong or was used before."))


def check_phone_code(request: HttpRequest, given: dict[str, str]) -> User:
    """Find or make the active account of a number that the code of an SMS proves, and check its second factor.

    The code is used up only when everything else is right, so that what is missing can be sent with the same code.

    Raises:
        InvalidInput: input.invalid; phone.code_wrong, phone.code_ended; auth.name_required, the number is new.
        NotSignedIn: auth.invalid_credentials, a deactivated account; auth.code_required, auth.code_invalid.
        NotPermitted: auth.staff_by_password.
        TooManyRequests: phone.too_many_wrong_codes, rate.limited.
    """
    token = given["request"]
    phone = phone_codes.check(token, given["code"], PhonePurpose.SIGN_IN, uses_up=False)
    if phone != phone_codes.read_phone(given["phone"]):
        raise phone_codes.code_ended()
    user = User.objects.filter(phone=phone).first()
    if user is None:
        name = clean_line(given.get("name", ""))
        if not name:
            message = _("This number has no account yet. Send a name to make one.")
            raise InvalidInput("auth.name_required", message, {"name": [message]})
        phone_codes.use_up(token)
        user, is_new = phone_proofs.sign_up(phone, name, language=get_language() or "")
        if is_new:
            user_signed_up.send(sender=User, request=request, user=user)
            return user
    else:
        phone_proofs.require_no_staff(user)
        if not user.is_active:
            raise NotSignedIn("auth.invalid_credentials", _("The account or the password is wrong."))
        if user.has_verified_phone and codes.has_second_factor(user):
            _check_second_factor(request, user, given.get("second_factor", ""))
        phone_codes.use_up(token)
    phone_proofs.require_no_staff(user)
    phone_proofs.prove(user.pk, phone)
    return User.objects.get(pk=user.pk)


def sign_in(user: User, caller: HttpRequest | None = None, *, by_sms: bool = False) -> dict[str, Any]:
    """Open a session for a program and return its tokens. `caller` says from where."""
    request = _bare_request(SessionStore())
    request.session[sessions.IS_PROGRAM] = True
    if caller is not None:
        request.META.update({name: caller.META.get(name, "") for name in ("REMOTE_ADDR", "HTTP_USER_AGENT")})
    login(request, user, backend=settings.AUTHENTICATION_BACKENDS[0])
    if by_sms and not codes.has_second_factor(user):
        confirmation.forget_unless_by_code(request.session, user)
    if user.is_staff:
        # From the start, so that tokens nobody uses end as well.
        request.session[IS_STAFF] = True
    made = strategy.create_access_token_payload(request)
    request.session.save()
    return _tokens(made["access_token"], made["refresh_token"])


def refresh_tokens(refresh: str) -> dict[str, Any]:
    """Use up a refresh token for a new pair.

    Of several requests with one token exactly one wins; the others end its session (`_use_up`).

    Raises:
        NotSignedIn: auth.token_invalid, the token is wrong, expired, used before, or its session has ended.
    """
    try:
        pair, user_id = _use_up(refresh)
    except UpdateError:  # the session ended while this ran
        raise invalid_token() from None
    if pair is None:
        if user_id is not None:
            security_log.count(SecurityEventCode.TOKEN_REUSED, subject_id=user_id, details="its session was ended")
        raise invalid_token()
    security_log.count(SecurityEventCode.TOKEN_REFRESHED, subject_id=user_id, actor_id=user_id)
    return _tokens(*pair)


def invalid_token() -> NotSignedIn:
    return NotSignedIn("auth.token_invalid", _("The token is wrong, expired or revoked."))


@in_transaction
def _use_up(refresh: str) -> tuple[tuple[str, str] | None, int | None]:
    """Make the new access and refresh token; None: it is wrong, expired or was used before, then its session ends now.

    The second is whose session it is, None where there is none.

    1. Lock the session's row: who comes at the same time waits, and then finds the token used up.
    2. Let the library check the token and replace it in the session.
    3. A token of ours that a living session no longer knows has been used before: end that session.
    """
    payload = jwt_tokens.decode_token(refresh, "refresh")
    key = session_key_of(payload) if payload else None
    if key is None or not Session.objects.select_for_update().filter(session_key=key).exists():
        return None, None
    user_id = int(payload["sub"]) if payload else None
    pair: tuple[str, str] | None = strategy.refresh_token(refresh)
    if pair is None:
        _end_session(key)
    return pair, user_id


def end_session(access: str) -> None:
    """End the session of an access token, and with it all its tokens."""
    bearer = HttpRequest()
    bearer.META["HTTP_AUTHORIZATION"] = f"Bearer {access}"
    key = strategy.get_session_token(bearer)
    if key:
        _end_session(key)


def _end_session(key: str) -> None:
    """Delete a session and close its sockets."""
    session = strategy.lookup_session(key)
    if session is None:
        return
    request = _bare_request(session)
    logout(request)


class TokenView(APIView):
    """Sign in for tokens: e-mail or phone, password, and the code of a second factor; or phone and the code by SMS."""

    authentication_classes = ()
    permission_classes = ()

    def post(self, request: Request) -> Response:
        given = read(request, SignInSerializer)
        by_sms = "request" in given
        check = check_phone_code if by_sms else check_credentials
        return Response(sign_in(check(request._request, given), request._request, by_sms=by_sms))


class PhoneCodeView(APIView):
    """Send a code by SMS to a number, whether it has an account or not."""

    authentication_classes = ()
    permission_classes = ()

    def post(self, request: Request) -> Response:
        phone = phone_codes.read_phone(read(request, PhoneSerializer)["phone"])
        sent = phone_codes.send(request._request, phone, PhonePurpose.SIGN_IN)
        return Response({"request": sent.token, "expires_in": int(phone_codes.CODE_AGE.total_seconds())}, status=202)


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
            raise invalid_token()
        end_session(access.strip())
        return Response(status=204)
