"""The sessions of one's account over REST: the list, ending one, the others, or all; confirming with the password."""

from typing import Any

from allauth.headless.internal.sessionkit import lookup_session
from django.contrib.sessions.backends.base import SessionBase
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from stepper.accounts import confirmation, sessions
from stepper.accounts.devices import describe_device
from stepper.api.base import ApiRequest, InstantField, PasswordField, StringField, read
from stepper.api.tokens import invalid_token, session_key_of
from stepper.models import AccountSession

# More than anybody looks through; the rest can be ended together.
LISTED = 100


def key_of(request: Request) -> str | None:
    """Return the key of the session in which a request is made: that of its token, or of its cookie."""
    if isinstance(request.auth, dict):
        return session_key_of(request.auth)
    key: str | None = request._request.session.session_key
    return key


def session_of(request: Request) -> SessionBase:
    """Return the session in which a request is made.

    Raises:
        NotSignedIn: auth.token_invalid, it has ended meanwhile.
    """
    if not isinstance(request.auth, dict):
        return request._request.session
    session: SessionBase | None = lookup_session(key_of(request) or "")
    if session is None:
        raise invalid_token()
    return session


def keep_confirmed(request: Request, session: SessionBase) -> None:
    """Store what `confirmation` has just noted in the session in which a request is made."""
    if session is request._request.session:
        # Whoever had the key until now has proved nothing.
        session.cycle_key()
    else:
        # Tokens are bound to the session's key, so that stays.
        sessions.set_stored(session, confirmation.CONFIRMED_AT, session[confirmation.CONFIRMED_AT])


class ConfirmSerializer(serializers.Serializer[Any]):
    password = PasswordField()
    code = StringField(max_length=20, required=False)


class AccountSessionSerializer(serializers.ModelSerializer[AccountSession]):
    device = serializers.SerializerMethodField()
    is_current = serializers.SerializerMethodField()
    signed_in_at = InstantField()
    last_seen_at = InstantField()

    class Meta:
        model = AccountSession
        fields = ["id", "device", "address", "is_program", "is_current", "signed_in_at", "last_seen_at"]

    def get_device(self, row: AccountSession) -> str:
        return describe_device(row.user_agent, is_program=row.is_program)

    def get_is_current(self, row: AccountSession) -> bool:
        return bool(row.session_id == self.context["session_key"])


class ConfirmView(APIView):
    """Enter the password once more, and the code of a second factor, for what needs it."""

    def post(self, request: ApiRequest) -> Response:
        body = read(request, ConfirmSerializer)
        session = session_of(request)
        confirmation.confirm(request._request, session, request.user, body["password"], body.get("code", ""))
        keep_confirmed(request, session)
        return Response(status=204)


class SessionsView(APIView):
    """Where one is signed in."""

    def get(self, request: ApiRequest) -> Response:
        rows = sessions.sessions_of(request.user)[:LISTED]
        context = {"session_key": key_of(request)}
        return Response({"sessions": AccountSessionSerializer(rows, many=True, context=context).data})


class SessionView(APIView):
    """End one session."""

    def delete(self, request: ApiRequest, session_id: int) -> Response:
        sessions.end_session(request.user, session_of(request), session_id)
        return Response(status=204)


class EndOthersView(APIView):
    """Sign out everywhere else."""

    def post(self, request: ApiRequest) -> Response:
        sessions.end_other_sessions(request.user, session_of(request))
        return Response(status=204)


class EndAllView(APIView):
    """Sign out everywhere, here too."""

    def post(self, request: ApiRequest) -> Response:
        sessions.end_all_sessions(request.user, session_of(request))
        return Response(status=204)
