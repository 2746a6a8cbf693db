"""REST for the account's saved places."""

from typing import Any

from rest_framework import serializers
from rest_framework.response import Response
from rest_framework.views import APIView

from realtime import events
from stepper.api.base import ApiRequest, StringField, read

from . import saved_places
from .models import SavedPlace, SavedPlaceKind
from .models.saved_places import LABEL_LENGTH
from .serializers import PlaceSerializer


class SavedPlaceSerializer(serializers.Serializer[Any]):
    kind = serializers.ChoiceField(choices=SavedPlaceKind.choices)
    name = StringField(max_length=LABEL_LENGTH, required=False, allow_blank=True, default="")
    place = PlaceSerializer()


class NameSerializer(serializers.Serializer[Any]):
    name = StringField(max_length=LABEL_LENGTH)


def _answer(row: SavedPlace) -> dict[str, Any]:
    place = {"name": row.place_name, "address": row.address, "lat": row.lat, "lng": row.lng}
    return {"id": row.pk, "kind": row.kind, "name": row.label, "place": place}


class SavedPlacesView(APIView):
    def get(self, request: ApiRequest) -> Response:
        """List one's places: home, work, the others."""
        return Response({"places": [_answer(row) for row in SavedPlace.objects.list_of(request.user.pk)]})

    def post(self, request: ApiRequest) -> Response:
        """Keep a place; a home or work that there is is replaced."""
        body = read(request, SavedPlaceSerializer)
        row = saved_places.save_place(
            request.user, kind=str(body["kind"]), label=body["name"], place=events.Place(**body["place"])
        )
        return Response(_answer(row), status=201)


class SavedPlaceView(APIView):
    def put(self, request: ApiRequest, place_id: int) -> Response:
        """Give a place another name."""
        return Response(
            _answer(saved_places.rename_place(request.user, place_id, read(request, NameSerializer)["name"]))
        )

    def delete(self, request: ApiRequest, place_id: int) -> Response:
        """Forget a place, also one that is forgotten already."""
        saved_places.delete_place(request.user, place_id)
        return Response(status=204)
