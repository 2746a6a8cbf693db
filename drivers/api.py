"""REST for drivers: offers and their answers, steps of a trip, availability, working time, positions, filters.

Also who is signed in. The driver is the signed-in user's own row, never named by the request. A suspended driver is
neither asked nor followed any more but can finish the trip under way, so its status does not ask for approval.
"""

import math
from typing import Annotated, Any

import msgspec
from django.utils import timezone
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
from stepper.errors import NotPermitted
from trips import assignment, driving
from trips.api import trip_response
from trips.cards import offer_card, seats_of
from trips.offers import open_offers
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


class DriverView(APIView):
    """For drivers only: `self.driver` is the caller."""

    approved_only = False
    # Whether a change made here is something the driver does, not their phone.
    counts_as_activity = True
    driver: Driver

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        driver = Driver.objects.select_related("user", "vehicle").filter(user=request.user.pk).first()
        if driver is None:
            raise NotPermitted("driver.not_a_driver", _("Only drivers can do this."))
        if self.approved_only:
            availability.require_approved(driver)
        if self.counts_as_activity and request.method not in SAFE_METHODS:
            working_time.record_activity(driver.pk)
        self.driver = driver


class OffersView(DriverView):
    approved_only = True

    def get(self, request: ApiRequest) -> Response:
        """Open offers, the nearest deadline first: the cards of `trip.offer.created` and the seconds left."""
        now = timezone.now()
        offers = []
        for offer in open_offers(self.driver.pk):
            card = msgspec.to_builtins(offer_card(offer, offer.trip, vehicle_seats=seats_of(self.driver)))
            # The envelope belongs to the event, which this is not.
            for name in ("type", "id", "timestamp"):
                del card[name]
            left_s = math.floor((offer.expires_at - now).total_seconds())
            offers.append({**card, "seconds_left": max(0, left_s)})
        return Response({"server_time": now, "offers": offers})


class AcceptView(DriverView):
    approved_only = True

    def post(self, request: ApiRequest, trip_id: int) -> Response:
        """Takes the trip; exactly one driver can, the others get 409 with the reason."""
        assignment.accept_trip(self.driver.pk, trip_id)
        return trip_response(trip_id, request.user)


class DeclineView(DriverView):
    approved_only = True

    def post(self, request: ApiRequest, trip_id: int) -> Response:
        offer = assignment.decline_trip(self.driver.pk, trip_id, read(request, ReasonSerializer)["reason"])
        return Response({"trip_id": trip_id, "offer_id": offer.pk, "status": offer.status})


class StatusView(DriverView):
    def put(self, request: ApiRequest, trip_id: int) -> Response:
        """The next step of the caller's trip, or `delayed`, `released`, `no_show`; counted with the socket's."""
        trip = driving.update_status(self.driver.pk, trip_id, **read(request, StatusSerializer))
        if trip.driver_id != self.driver.pk:
            # Given back: what becomes of it is not their business any more, also when they say so once more.
            return Response({"id": trip.pk, "status": driving.RELEASED})
        return trip_response(trip_id, request.user)


class AvailabilityView(DriverView):
    approved_only = True

    def put(self, request: ApiRequest) -> Response:
        """The driver's switch; on a trip it takes effect when the trip ends."""
        online = read(request, AvailabilitySerializer)["availability"] == "available"
        return Response(AvailabilityAnswerSerializer(availability.set_online(self.driver.pk, online)).data)


class AvailabilityChangesView(DriverView):
    def get(self, request: ApiRequest) -> Response:
        """The driver's own history, newest first."""
        pages = NewestFirst()
        page = pages.paginate_queryset(self.driver.availability_changes.all(), request, self)
        return pages.get_paginated_response(AvailabilityChangeSerializer(page, many=True).data)


class HoursView(DriverView):
    def get(self, request: ApiRequest) -> Response:
        return Response(WorkingTimeSerializer(self.driver).data)

    def put(self, request: ApiRequest) -> Response:
        """Stores what is given; hours as a whole, a day left out is free."""
        driver = working_time.set_working_time(self.driver.pk, read_struct(request, working_time.WorkingTime))
        return Response(WorkingTimeSerializer(driver).data)


class BreaksView(DriverView):
    def get(self, request: ApiRequest) -> Response:
        """The running break and the planned ones, by their beginning."""
        ahead = self.driver.breaks.ahead().order_by("starts_at")
        return Response({"breaks": BreakSerializer(ahead, many=True).data})

    def post(self, request: ApiRequest) -> Response:
        """A break from now on, or a planned one."""
        wanted = read(request, NewBreakSerializer)
        if "minutes" in wanted:
            row = working_time.take_break(self.driver.pk, wanted["minutes"])
        else:
            row = working_time.plan_break(self.driver.pk, wanted["starts_at"], wanted["ends_at"])
        return Response(BreakSerializer(row).data, status=201)


class BreakView(DriverView):
    def delete(self, request: ApiRequest, break_id: int) -> Response:
        """Ends the running break now, or drops a planned one; also the second time."""
        return Response(BreakSerializer(working_time.end_break(self.driver.pk, break_id)).data)


class _Points(Struct, frozen=True):
    points: Annotated[list[events.Point], Meta(min_length=1, max_length=100)]


class PositionView(DriverView):
    approved_only = True
    counts_as_activity = False

    def post(self, request: ApiRequest) -> Response:
        """One to a hundred fixes: `{"points": […]}`, or a single one as the body."""
        if isinstance(request.data, dict) and "points" not in request.data:
            points = [read_struct(request, events.Point)]
        else:
            points = read_struct(request, _Points).points
        return Response(structs.asdict(buffer.report(self.driver.pk, points)))


class FiltersView(DriverView):
    def get(self, request: ApiRequest) -> Response:
        return Response(FiltersSerializer(self.driver).data)

    def put(self, request: ApiRequest) -> Response:
        """Stores wishes; what is left out stays, null removes the limit."""
        driver = availability.set_filters(self.driver.pk, read_struct(request, events.Filters))
        return Response(FiltersSerializer(driver).data)


class MeView(APIView):
    def get(self, request: ApiRequest) -> Response:
        return Response(MeSerializer(request.user).data)
