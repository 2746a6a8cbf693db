"""REST for the links of a trip: listing, making and ending them."""

from django.urls import reverse
from rest_framework.response import Response
from rest_framework.views import APIView

from stepper.api.base import ApiRequest

from . import access, shares
from .models import TripShare


def _answer(share: TripShare) -> dict[str, object]:
    return {"id": share.pk, "created_at": share.created_at, "opened": share.opened}


class SharesView(APIView):
    def get(self, request: ApiRequest, trip_id: int) -> Response:
        """List the links that one may end; nobody can read their addresses again."""
        links = shares.list_shares(request.user, access.trip_for(request.user, trip_id))
        return Response({"shares": [_answer(share) for share in links]})

    def post(self, request: ApiRequest, trip_id: int) -> Response:
        """Make a link; `path` is answered this once."""
        made = shares.create_share(trip_id, request.user)
        return Response(_answer(made.share) | {"path": reverse("shared-trip", args=[made.token])}, status=201)


class ShareView(APIView):
    def delete(self, request: ApiRequest, trip_id: int, share_id: int) -> Response:
        """End a link, also one that has ended."""
        shares.revoke_share(trip_id, share_id, request.user)
        return Response(status=204)
