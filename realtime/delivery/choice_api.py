"""Notification choices over REST."""

from typing import Any

from rest_framework import serializers
from rest_framework.response import Response
from rest_framework.views import APIView

from realtime.delivery.choices import MAIL_TOPICS, choices_of, choose
from realtime.push.subscriptions import Topic
from stepper.api.base import ApiRequest, read


class _StrictBoolean(serializers.BooleanField):
    """true or false, not "yes"."""

    def to_internal_value(self, data: Any) -> bool:
        if not isinstance(data, bool):
            self.fail("invalid", input=data)
        return data


class PushChoicesSerializer(serializers.Serializer[Any]):
    def get_fields(self) -> dict[str, serializers.Field[Any, Any, Any, Any]]:
        return {topic.value: _StrictBoolean(required=False) for topic in Topic}


class MailChoicesSerializer(serializers.Serializer[Any]):
    def get_fields(self) -> dict[str, serializers.Field[Any, Any, Any, Any]]:
        return {topic.value: _StrictBoolean(required=False) for topic in MAIL_TOPICS}


class ChoicesSerializer(serializers.Serializer[Any]):
    """What is not named stays as it is."""

    push = PushChoicesSerializer(required=False)
    mail = MailChoicesSerializer(required=False)
    sms = _StrictBoolean(required=False)


class ChoicesView(APIView):
    """Which notifications one wants, and by which way."""

    def get(self, request: ApiRequest) -> Response:
        return Response(_answer(request))

    def put(self, request: ApiRequest) -> Response:
        body = read(request, ChoicesSerializer)
        push, mail = (
            {Topic(name): is_wanted for name, is_wanted in body.get(way, {}).items()} for way in ("push", "mail")
        )
        choose(request.user, push=push, mail=mail, sms=body.get("sms"))
        return Response(_answer(request))


def _answer(request: ApiRequest) -> dict[str, Any]:
    found = choices_of(request.user)
    return {
        "push": {topic.value: is_wanted for topic, is_wanted in found.push.items()},
        "mail": {topic.value: is_wanted for topic, is_wanted in found.mail.items()},
        "sms": found.sms,
        "mail_lack": found.mail_lack,
        "sms_lack": found.sms_lack,
    }
