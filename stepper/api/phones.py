"""One's own number over REST: proving it, or oneself by it, and changing it; each takes a code that is sent first."""

from typing import Any

from rest_framework import serializers
from rest_framework.response import Response
from rest_framework.views import APIView

from stepper.accounts import phone_changes
from stepper.accounts.phone_codes import CODE_AGE, Sent
from stepper.api.base import ApiRequest, StringField, read
from stepper.api.sessions import keep_confirmed, session_of
from stepper.errors import InvalidInput

# What the body calls otherwise than the page's form.
_FIELDS = {"second_code": "second_factor"}


def _sent(sent: Sent) -> Response:
    return Response({"request": sent.token, "expires_in": int(CODE_AGE.total_seconds())}, status=202)


class NewPhoneSerializer(serializers.Serializer[Any]):
    phone = StringField(max_length=40)


class CodeSerializer(serializers.Serializer[Any]):
    request = StringField(max_length=100)
    code = StringField(max_length=20)


class OwnPhoneSerializer(CodeSerializer):
    second_factor = StringField(max_length=20, required=False)


class OwnPhoneCodeView(APIView):
    """Send a code to the present number of the account."""

    def post(self, request: ApiRequest) -> Response:
        return _sent(phone_changes.send_own_code(request._request, request.user, session_of(request)))


class OwnPhoneView(APIView):
    """Take the code: the number is proved, and who has no password is confirmed."""

    def post(self, request: ApiRequest) -> Response:
        body, session = read(request, OwnPhoneSerializer), session_of(request)
        second_code = body.get("second_factor", "")
        args = (request._request, request.user, session, body["request"], body["code"])
        try:
            phone_changes.confirm_own(*args, second_code=second_code)
        except InvalidInput as error:
            error.fields = {_FIELDS.get(name, name): texts for name, texts in error.fields.items()}
            raise
        keep_confirmed(request, session)
        return Response(status=204)


class NewPhoneCodeView(APIView):
    """Send a code to the number that the account is to have."""

    def post(self, request: ApiRequest) -> Response:
        phone = read(request, NewPhoneSerializer)["phone"]
        sent = phone_changes.request_change(request._request, request.user, session_of(request), phone)
        return _sent(sent)


class NewPhoneView(APIView):
    """Give the account the number whose code this is."""

    def post(self, request: ApiRequest) -> Response:
        body = read(request, CodeSerializer)
        phone_changes.confirm_change(request.user, session_of(request), body["request"], body["code"])
        return Response(status=204)
