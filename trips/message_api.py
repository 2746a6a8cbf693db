"""REST for what passenger and driver write to each other, and for calls for help."""

from typing import Any

from rest_framework import serializers
from rest_framework.response import Response
from rest_framework.views import APIView

from stepper.api.base import ApiRequest, InstantField, IntField, NumberField, StringField, read
from stepper.models import User

from . import messages, safety
from .models import TEXT_LENGTH, SafetyAlert, TripMessage
from .serializers import read_idempotency_key

_MOST_ID = 2**63 - 1


class MessageSerializer(serializers.Serializer[Any]):
    """A message to send: `text`, or `quick` alone."""

    text = StringField(max_length=TEXT_LENGTH, required=False, allow_blank=True, default="")
    quick = StringField(max_length=20, required=False, allow_blank=True, default="")


class UpToSerializer(serializers.Serializer[Any]):
    up_to = IntField(min_value=1, max_value=_MOST_ID)


class CallSerializer(serializers.Serializer[Any]):
    """Where the caller is, if that is known: both or neither."""

    lat = NumberField(min_value=-90, max_value=90, required=False, allow_null=True, default=None)
    lng = NumberField(min_value=-180, max_value=180, required=False, allow_null=True, default=None)


def _answer(row: TripMessage, reader: User) -> dict[str, Any]:
    """Return a message as it is answered; the text of a quick reply in the language of the answer."""
    instant = InstantField().to_representation
    return {
        "id": row.pk,
        "by": str(row.role),
        "mine": row.sender_id == reader.pk,
        "text": row.words,
        "quick": "" if row.hidden_at else row.quick,
        "sent_at": instant(row.sent_at),
        "read_at": instant(row.read_at) if row.read_at else None,
        "hidden": row.hidden_at is not None,
    }


class MessagesView(APIView):
    def get(self, request: ApiRequest, trip_id: int) -> Response:
        """List the newest messages of a trip, the oldest first; nothing is marked as read."""
        found = messages.read_conversation(request.user, trip_id)
        return Response(
            {
                "trip_id": trip_id,
                "open": found.is_open,
                "unread": found.unread,
                "messages": [_answer(row, request.user) for row in found.messages],
            }
        )

    def post(self, request: ApiRequest, trip_id: int) -> Response:
        """Send a message. The same `Idempotency-Key` again answers with the message of the first time."""
        wanted = read(request, MessageSerializer)
        row = messages.send(trip_id, request.user, **wanted, key=read_idempotency_key(request))
        return Response(_answer(row, request.user), status=201)


class MessagesReadView(APIView):
    def post(self, request: ApiRequest, trip_id: int) -> Response:
        """Mark what the other side wrote as read, up to a message."""
        return Response({"read": messages.mark_read(trip_id, request.user, **read(request, UpToSerializer))})


class MessageReportView(APIView):
    def post(self, request: ApiRequest, trip_id: int, message_id: int) -> Response:
        """Report a message of the other side to staff."""
        return Response(_answer(messages.report(trip_id, message_id, request.user), request.user))


class SafetyView(APIView):
    def post(self, request: ApiRequest, trip_id: int) -> Response:
        """Call the staff for help; again while the call is open: the same call, with the new position."""
        alert: SafetyAlert = safety.raise_alert(trip_id, request.user, **read(request, CallSerializer))
        return Response({"id": alert.pk, "raised_at": InstantField().to_representation(alert.raised_at)}, status=201)
