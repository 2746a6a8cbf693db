"""REST for drivers: offers and their answers, steps of a trip, availability, working time, positions, filters; `me`.

The driver is always the signed-in user's own row. A suspended driver gets no offers and reports no positions, but can
finish the trip under way, so `StatusView` does not require approval.
"""

import math
from typing import Annotated, Any

import msgspec
from django.utils.translation import gettext_lazy as _
from msgspec import Meta, Struct, structs
from rest_framework.permissions import SAFE_METHODS
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from drivers import availability, working_time
from drivers.positions import buffer
from realtime import events
from stepper.api.base import ApiRequest, NewestFirst, read, read_struct
from stepper.db.clock import database_now
from stepper.db.prepared import PreparedQuery
from stepper.errors import NotPermitted
from stepper.monitoring import log_ids
from trips import accepting, driving
from trips.api import trip_response
from trips.offers import open_cards
from trips.serializers import ReasonSerializer

from .models import Driver
from .serializers import (
    AvailabilityAnswerSerializer,
    AvailabilityChangeSerializer,
    AvailabilitySerializer,
    BreakSerializer,
    FiltersSerializer,
    MeSerializer,
    NewBreakSerializer,
    StatusSerializer,
    WorkingTimeSerializer,
)

_driver_of = PreparedQuery(lambda user_id: Driver.objects.select_related("user", "vehicle").filter(user=user_id))


class DriverView(APIView):
    """Base of the endpoints for drivers; `self.driver` is the caller."""

    approved_only = False
    # Whether a change counts as activity of the driver; what their phone sends by itself does not.
    counts_as_activity = True
    driver: Driver

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        driver = _driver_of.first(request.user.pk)
        if driver is None:
            raise NotPermitted("driver.not_a_driver", _("Only drivers can do this."))
        if self.approved_only:
            availability.require_approved(driver)
        if self.counts_as_activity and request.method not in SAFE_METHODS:
            working_time.record_activity(driver.pk)
        self.driver = driver
        log_ids.note(driver_id=driver.pk)


def _key_of(request: ApiRequest) -> str:
    """Return the key that makes a repeated command change nothing; empty: the client gave none."""
    return request.headers.get("Idempotency-Key", "")


class OffersView(DriverView):
    approved_only = True

    def get(self, request: ApiRequest) -> Response:
        """List the open offers, the best first: the cards of `trip.offer.created` and the seconds left."""
        now = database_now()
        offers = []
        for offered in open_cards(self.driver.pk):
            card = msgspec.to_builtins(offered)
            # These are fields of an event; this is none.
            for name in ("type", "id", "timestamp"):
                del card[name]
            left_s = math.floor((offered.expires_at - now).total_seconds())
            offers.append({**card, "seconds_left": max(0, left_s)})
        return Response({"server_time": now, "offers": offers})


class AcceptView(DriverView):
    approved_only = True

    def post(self, request: ApiRequest, trip_id: int) -> Response:
        """Accept the trip; exactly one driver can, the others get 409 with the reason."""
        accepting.accept_trip(self.driver.pk, trip_id, key=_key_of(request))
        return trip_response(trip_id, request.user)


class DeclineView(DriverView):
    approved_only = True

    def post(self, request: ApiRequest, trip_id: int) -> Response:
        """Decline the driver's offer of the trip."""
        reason = read(request, ReasonSerializer)["reason"]
        offer = accepting.decline_trip(self.driver.pk, trip_id, reason, key=_key_of(request))
        return Response({"trip_id": trip_id, "offer_id": offer.pk, "status": offer.status})


class StatusView(DriverView):
    def put(self, request: ApiRequest, trip_id: int) -> Response:
        """Take the next step of the caller's trip, or report a delay, a no-show, a release; sockets share the limit."""
        trip = driving.update_status(self.driver.pk, trip_id, **read(request, StatusSerializer), key=_key_of(request))
        if trip.driver_id != self.driver.pk:
            # Given back: the driver may not see the trip any more, also when they repeat the request.
            return Response({"id": trip.pk, "status": driving.RELEASED})
        return trip_response(trip_id, request.user)


class AvailabilityView(DriverView):
    approved_only = True

    def put(self, request: ApiRequest) -> Response:
        """Set the driver's switch; on a trip it takes effect when the trip ends."""
        online = read(request, AvailabilitySerializer)["availability"] == "available"
        return Response(AvailabilityAnswerSerializer(availability.set_online(self.driver.pk, online)).data)


class AvailabilityChangesView(DriverView):
    def get(self, request: ApiRequest) -> Response:
        """List the driver's own history, newest first."""
        pages = NewestFirst()
        pages.refuse(request, {})
        page = pages.paginate_queryset(self.driver.availability_changes.all(), request, self)
        return pages.get_paginated_response(AvailabilityChangeSerializer(page, many=True).data)


class HoursView(DriverView):
    def get(self, request: ApiRequest) -> Response:
        """Return the stored working time."""
        return Response(WorkingTimeSerializer(self.driver).data)

    def put(self, request: ApiRequest) -> Response:
        """Store what is given; `hours` replace all stored ones, a day left out becomes free."""
        driver = working_time.set_working_time(self.driver.pk, read_struct(request, working_time.WorkingTime))
        return Response(WorkingTimeSerializer(driver).data)


class BreaksView(DriverView):
    def get(self, request: ApiRequest) -> Response:
        """List the running break and the planned ones, by their start."""
        ahead = self.driver.breaks.ahead().order_by("starts_at")
        return Response({"breaks": BreakSerializer(ahead, many=True).data})

    def post(self, request: ApiRequest) -> Response:
        """Start a break now, or plan one."""
        wanted = read(request, NewBreakSerializer)
        if "minutes" in wanted:
            row = working_time.take_break(self.driver.pk, wanted["minutes"])
        else:
            row = working_time.plan_break(self.driver.pk, wanted["starts_at"], wanted["ends_at"])
        return Response(BreakSerializer(row).data, status=201)


class BreakView(DriverView):
    def delete(self, request: ApiRequest, break_id: int) -> Response:
        """End the running break, or cancel a planned one; repeating it changes nothing."""
        return Response(BreakSerializer(working_time.end_break(self.driver.pk, break_id)).data)


class _Points(Struct, frozen=True):
    points: Annotated[list[events.Point], Meta(min_length=1, max_length=100)]


class PositionView(DriverView):
    approved_only = True
    counts_as_activity = False

    def post(self, request: ApiRequest) -> Response:
        """Report one to a hundred fixes: `{"points": […]}`, or a single one as the body."""
        if isinstance(request.data, dict) and "points" not in request.data:
            points = [read_struct(request, events.Point)]
        else:
            points = read_struct(request, _Points).points
        return Response(structs.asdict(buffer.report(self.driver.pk, points)))


class FiltersView(DriverView):
    def get(self, request: ApiRequest) -> Response:
        """Return the stored filters."""
        return Response(FiltersSerializer(self.driver).data)

    def put(self, request: ApiRequest) -> Response:
        """Store filters; what is left out stays, null removes the limit."""
        driver = availability.set_filters(self.driver.pk, read_struct(request, events.Filters))
        return Response(FiltersSerializer(driver).data)


class MeView(APIView):
    def get(self, request: ApiRequest) -> Response:
        """Return the signed-in user."""
        return Response(MeSerializer(request.user).data)
