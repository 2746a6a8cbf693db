"""REST for places: searching them by a text, and naming a point. Nobody has to be signed in.

Our own pages POST: what people look for does not belong in access logs.
"""

from collections.abc import Mapping
from typing import Any

import msgspec
from django.utils.translation import gettext_lazy as _
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from stepper.accounts.sign_in import client_address
from stepper.api.base import NumberField, StringField
from stepper.errors import InvalidFields
from stepper.models import User

from .models.places import NAME_LENGTH
from .places.finding import Searcher, find_at, find_places


class PointSerializer(serializers.Serializer[Any]):
    lat = NumberField(min_value=-90, max_value=90)
    lng = NumberField(min_value=-180, max_value=180)


class PlaceSearchSerializer(serializers.Serializer[Any]):
    q = StringField(max_length=NAME_LENGTH, required=False, allow_blank=True, default="")
    lat = NumberField(min_value=-90, max_value=90, required=False, allow_null=True, default=None)
    lng = NumberField(min_value=-180, max_value=180, required=False, allow_null=True, default=None)


def _searcher(request: Request) -> Searcher:
    user = request.user if isinstance(request.user, User) else None
    return Searcher(user, client_address(request._request))


def _from_query(request: Request) -> dict[str, Any]:
    """Return the query's fields as JSON would have them. Raises InvalidInput."""
    fields: dict[str, Any] = request.query_params.dict()
    for name in ("lat", "lng"):
        if fields.get(name):
            try:
                fields[name] = float(fields[name])
            except ValueError as error:
                raise InvalidFields({name: [_("A number is required.")]}) from error
        else:
            fields.pop(name, None)
    return fields


def _valid(data: Any, serializer: type[serializers.Serializer[Any]]) -> Mapping[str, Any]:
    bound = serializer(data=data)
    bound.is_valid(raise_exception=True)
    valid: Mapping[str, Any] = bound.validated_data
    return valid


class PlacesView(APIView):
    permission_classes = ()

    def get(self, request: Request) -> Response:
        return self._answer(request, _from_query(request))

    def post(self, request: Request) -> Response:
        return self._answer(request, request.data)

    def _answer(self, request: Request, data: Any) -> Response:
        """Answer the places for a text, the best first; `addresses` says what became of the geocoder."""
        wanted = _valid(data, PlaceSearchSerializer)
        near = None if wanted["lat"] is None or wanted["lng"] is None else (wanted["lat"], wanted["lng"])
        found = find_places(_searcher(request), wanted["q"], near)
        return Response(msgspec.to_builtins(found))


class PlaceAtView(APIView):
    permission_classes = ()

    def get(self, request: Request) -> Response:
        return self._answer(request, _from_query(request))

    def post(self, request: Request) -> Response:
        return self._answer(request, request.data)

    def _answer(self, request: Request, data: Any) -> Response:
        """Answer what a point is called."""
        point = _valid(data, PointSerializer)
        return Response(msgspec.to_builtins(find_at(_searcher(request), point["lat"], point["lng"])))
