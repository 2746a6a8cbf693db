"""Pushes over REST: what one needs to subscribe, subscribing this session's browser, and which kinds are wanted."""

from typing import Any

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from realtime.push import subscriptions
from realtime.push.endpoints import MOST_CHARACTERS
from realtime.push.subscriptions import Topic
from stepper.api.base import ApiRequest, StringField, read
from stepper.api.tokens import session_key_of


def _key_of(request: Request) -> str | None:
    """Return the key of the session in which a request is made: that of its token, or of its cookie."""
    if isinstance(request.auth, dict):
        return session_key_of(request.auth)
    key: str | None = request._request.session.session_key
    return key


class KeysSerializer(serializers.Serializer[Any]):
    p256dh = StringField(max_length=100)
    auth = StringField(max_length=30)


class SubscriptionSerializer(serializers.Serializer[Any]):
    """What a browser's `PushSubscription.toJSON()` gives; what else is in it is not needed."""

    endpoint = StringField(max_length=MOST_CHARACTERS)
    keys = KeysSerializer()


class TopicsSerializer(serializers.Serializer[Any]):
    """`{"offer": false}`: topics that are not named stay as they are."""

    def get_fields(self) -> dict[str, serializers.Field[Any, Any, Any, Any]]:
        return {topic.value: serializers.BooleanField(required=False) for topic in Topic}


def _state(request: ApiRequest) -> dict[str, Any]:
    state = subscriptions.state_of(request.user, _key_of(request))
    return {
        "is_offered": state.public_key is not None,
        "public_key": state.public_key,
        "is_subscribed": state.is_subscribed,
        "topics": {topic.value: is_wanted for topic, is_wanted in state.topics.items()},
    }


class PushView(APIView):
    """Whether this session's browser gets pushes; have it get them, or no more."""

    def get(self, request: ApiRequest) -> Response:
        return Response(_state(request))

    def post(self, request: ApiRequest) -> Response:
        body = read(request, SubscriptionSerializer)
        keys = body["keys"]
        subscriptions.subscribe(
            request.user, _key_of(request), endpoint=body["endpoint"], p256dh=keys["p256dh"], auth=keys["auth"]
        )
        return Response(_state(request), status=201)

    def delete(self, request: ApiRequest) -> Response:
        subscriptions.unsubscribe(request.user, _key_of(request))
        return Response(status=204)


class PushTopicsView(APIView):
    """Choose which kinds of pushes one wants."""

    def put(self, request: ApiRequest) -> Response:
        wanted = {Topic(name): is_wanted for name, is_wanted in read(request, TopicsSerializer).items()}
        subscriptions.choose_topics(request.user, wanted)
        return Response(_state(request))
