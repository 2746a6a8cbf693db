"""REST for a telephone exchange: it announces who calls, and an operator's page opens their card.

An exchange is no user: it has a token of its own, in a header, as addresses are in access logs. GET is for exchanges
that can send nothing else.
"""

from collections.abc import Sequence
from typing import Any

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from stepper.accounts.sign_in import client_address
from stepper.api.base import StringField
from trips import incoming_calls


class AnnouncedSerializer(serializers.Serializer[Any]):
    number = StringField(max_length=40)
    operator = StringField(max_length=254, required=False, allow_blank=True, default="")
    call_id = StringField(max_length=100, required=False, allow_blank=True, default="")


class CallsView(APIView):
    authentication_classes: Sequence[Any] = ()
    permission_classes: Sequence[Any] = ()

    def get(self, request: Request) -> Response:
        return self._announce(request, request.query_params.dict())

    def post(self, request: Request) -> Response:
        return self._announce(request, request.data)

    def _announce(self, request: Request, data: Any) -> Response:
        """Open the card of `number` at the pages of `operator` (e-mail or extension), else of all operators."""
        scheme, _space, token = request.headers.get("Authorization", "").partition(" ")
        token = token.strip() if scheme.lower() == "bearer" else request.headers.get("X-Call-Token", "")
        incoming_calls.check_token(token, address=client_address(request._request))
        bound = AnnouncedSerializer(data=data)
        bound.is_valid(raise_exception=True)
        made = incoming_calls.announce(**bound.validated_data)
        status = 200 if made.is_repeated else 201
        return Response({"operators": made.operators, "repeated": made.is_repeated}, status=status)
