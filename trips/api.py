"""REST for trips: list, book, read, change, cancel, rate, follow, offer again."""

import msgspec
from django.db.models import Count, OuterRef, QuerySet, Subquery
from django.db.models.functions import Coalesce
from django.utils.translation import gettext_lazy as _
from rest_framework.response import Response
from rest_framework.views import APIView

from drivers.positions.tracking import last_known
from stepper.api.base import ApiRequest, NewestFirst, read
from stepper.audit.looks import looked_at_list
from stepper.models import ServiceSettings, User
from trips import access, assignment, bookings, changes, ratings, unfilled

from .models import Offer, Rating, Trip, TripQuerySet, Wish
from .serializers import (
    STATUSES,
    BookingSerializer,
    CancelSerializer,
    ChangeSerializer,
    PostponeSerializer,
    RatingGivenSerializer,
    RatingSerializer,
    TripSerializer,
    WidenSerializer,
    WishSerializer,
    read_idempotency_key,
)
from .states import Role


def with_answer_columns(viewer: User, trips: TripQuerySet) -> QuerySet[Trip]:
    """Add what `TripSerializer` reads to a query of trips."""
    open_offers = Offer.objects.open().filter(trip=OuterRef("pk")).order_by().values("trip")
    mine = Rating.objects.filter(trip=OuterRef("pk"), by=viewer, leg=0).values("stars")
    tips = Rating.objects.filter(trip=OuterRef("pk"), role=Role.ORGANISER, leg=0).values("tip")
    return (
        trips.for_page()
        .select_related("watch")
        .annotate(
            offers_open=Coalesce(Subquery(open_offers.annotate(number=Count("pk")).values("number")), 0),
            my_stars=Subquery(mine[:1]),
            tip_noted=Subquery(tips[:1]),
        )
    )


def trip_response(trip_id: int, viewer: User, status: int = 200) -> Response:
    """Answer the full trip as it stands now, after a verb changed it."""
    trip = with_answer_columns(viewer, Trip.objects.all()).get(pk=trip_id)
    return Response(TripSerializer(trip, context={"viewer": viewer}).data, status=status)


class TripsView(APIView):
    def get(self, request: ApiRequest) -> Response:
        """List the caller's trips (organised, booked or driven; staff: all), newest first; `?status=`: any of these."""
        viewer = request.user
        trips = with_answer_columns(viewer, access.list_visible_to(viewer))
        wanted = request.query_params.getlist("status")
        pages = NewestFirst()
        pages.refuse(request, {} if STATUSES.issuperset(wanted) else {"status": [_("There is no such status.")]})
        if wanted:
            trips = trips.filter(status__in=wanted)
        page = pages.paginate_queryset(trips, request, self)
        if viewer.may_see_trips:
            looked_at_list(request, Trip._meta.label_lower)
        return pages.get_paginated_response(TripSerializer(page, many=True, context={"viewer": viewer}).data)

    def post(self, request: ApiRequest) -> Response:
        """Book a trip. The same `Idempotency-Key` again answers 200 with the trip of the first time."""
        key = read_idempotency_key(request) or None
        body = read(request, BookingSerializer)
        repeated = key is not None and Trip.objects.filter(organiser=request.user, request_key=key).exists()
        trip = bookings.book(request.user, body["request"], key, quote_token=body["quote"])
        return trip_response(trip.pk, request.user, status=200 if repeated else 201)


class WishesView(APIView):
    def get(self, request: ApiRequest) -> Response:
        """List the wishes that a booking may have, in staff's order."""
        return Response(WishSerializer(Wish.objects.filter(is_active=True), many=True).data)


class TripView(APIView):
    def get(self, request: ApiRequest, trip_id: int) -> Response:
        trip = access.trip_for(request.user, trip_id)
        return trip_response(trip.pk, request.user)

    def patch(self, request: ApiRequest, trip_id: int) -> Response:
        """Change a booked trip: all of it until a driver accepts, then the note and the pickup's address."""
        trip = changes.change(trip_id, request.user, **read(request, ChangeSerializer))
        return trip_response(trip.pk, request.user)


class CancelView(APIView):
    def post(self, request: ApiRequest, trip_id: int) -> Response:
        trip = bookings.cancel(trip_id, request.user, **read(request, CancelSerializer))
        return trip_response(trip.pk, request.user)


class RateView(APIView):
    def post(self, request: ApiRequest, trip_id: int) -> Response:
        """Rate the other side; 200 where this side had rated before: changed, or the same again."""
        wanted = read(request, RatingSerializer)
        given = set(Rating.objects.filter(trip=trip_id, by=request.user).values_list("pk", flat=True))
        rating = ratings.rate(trip_id, request.user, **wanted)
        return Response(RatingGivenSerializer(rating).data, status=200 if rating.pk in given else 201)


class LocationView(APIView):
    def get(self, request: ApiRequest, trip_id: int) -> Response:
        """Answer the driver's last position; null where it is too old, before tracking opens and after the trip."""
        trip = access.trip_for(request.user, trip_id)
        location = last_known(trip, ServiceSettings.current())
        return Response({"trip_id": trip.pk, "location": None if location is None else msgspec.to_builtins(location)})


class WidenView(APIView):
    def post(self, request: ApiRequest, trip_id: int) -> Response:
        """Widen the search of a trip that nobody takes; for its organiser or staff."""
        trip = unfilled.widen(trip_id, request.user, **read(request, WidenSerializer))
        return trip_response(trip.pk, request.user)


class PostponeView(APIView):
    def post(self, request: ApiRequest, trip_id: int) -> Response:
        """Postpone a trip that nobody takes; for its organiser or staff."""
        trip = unfilled.postpone(trip_id, request.user, **read(request, PostponeSerializer))
        return trip_response(trip.pk, request.user)


class BroadcastOfferView(APIView):
    def post(self, request: ApiRequest, trip_id: int) -> Response:
        """Start a round for a trip without a driver; for its organiser or staff."""
        result = assignment.offer_again(trip_id, request.user)
        return Response(
            {
                "trip_id": trip_id,
                "drivers_notified": result.drivers_notified,
                "eligible_drivers": result.eligible_drivers,
            }
        )
