"""Changing the number of one's account over REST: a code to the new one, then the number."""

from typing import Any

from rest_framework import serializers
from rest_framework.response import Response
from rest_framework.views import APIView

from stepper.accounts import phone_changes
from stepper.accounts.phone_codes import CODE_AGE
from stepper.api.base import ApiRequest, StringField, read
from stepper.api.sessions import session_of


class NewPhoneSerializer(serializers.Serializer[Any]):
    phone = StringField(max_length=40)


class CodeSerializer(serializers.Serializer[Any]):
    request = StringField(max_length=100)
    code = StringField(max_length=20)


class NewPhoneCodeView(APIView):
    """Send a code to the number that the account is to have."""

    def post(self, request: ApiRequest) -> Response:
        phone = read(request, NewPhoneSerializer)["phone"]
        sent = phone_changes.request_change(request._request, request.user, session_of(request), phone)
        return Response({"request": sent.token, "expires_in": int(CODE_AGE.total_seconds())}, status=202)


class NewPhoneView(APIView):
    """Give the account the number whose code this is."""

    def post(self, request: ApiRequest) -> Response:
        body = read(request, CodeSerializer)
        phone_changes.confirm_change(request.user, session_of(request), body["request"], body["code"])
        return Response(status=204)
