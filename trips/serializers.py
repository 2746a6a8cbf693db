"""Bodies of the trips' REST endpoints: what is read from requests, and the one shape a trip is answered in."""

from typing import Any

import msgspec
from django.utils.translation import gettext_lazy as _
from rest_framework import serializers

from realtime import events
from stepper.api.base import InstantField, IntField, NumberField, StringField
from stepper.models import User

from . import cards
from .booking_requests import SEATS, TRAVELLER_NAME, BookingRequest, Traveller
from .models import Rating, Trip
from .pricing import Quote
from .states import ASSIGNED, TripStatus, VehicleClass

# Read


class PlaceSerializer(serializers.Serializer[Any]):
    name = StringField(max_length=120)
    address = StringField(max_length=200, required=False, allow_blank=True, default="")
    lat = NumberField(min_value=-90, max_value=90)
    lng = NumberField(min_value=-180, max_value=180)


class TravellerSerializer(serializers.Serializer[Any]):
    name = StringField(max_length=TRAVELLER_NAME)
    phone = StringField(max_length=40)


class BookingSerializer(serializers.Serializer[Any]):
    """A booking without its price: what a client says about money is not read."""

    pickup = PlaceSerializer()
    dropoff = PlaceSerializer()
    departure_at = InstantField(required=False, allow_null=True, default=None)
    seats = IntField(min_value=1, max_value=max(SEATS.values()), required=False, default=1)
    vehicle_class = serializers.ChoiceField(
        choices=VehicleClass.choices, required=False, default=VehicleClass.SEDAN.value
    )
    bags = IntField(min_value=0, max_value=50, required=False, default=0)
    note = StringField(max_length=300, required=False, allow_blank=True, default="")
    traveller = TravellerSerializer(required=False, allow_null=True, default=None)

    def to_internal_value(self, data: Any) -> Any:
        fields = super().to_internal_value(data)
        fields |= {name: events.Place(**fields[name]) for name in ("pickup", "dropoff")}
        fields["traveller"] = Traveller(**fields["traveller"]) if fields["traveller"] else None
        return {"request": BookingRequest(**{**fields, "vehicle_class": str(fields["vehicle_class"])})}


class ReasonSerializer(serializers.Serializer[Any]):
    reason = StringField(max_length=200, required=False, allow_blank=True, default="")


class RatingSerializer(serializers.Serializer[Any]):
    stars = IntField(min_value=1, max_value=5)
    # Left out: the one that was given stays.
    comment = StringField(max_length=500, required=False, allow_blank=True)


class IdempotencyKeySerializer(serializers.Serializer[Any]):
    key = serializers.RegexField(
        r"^[\x21-\x7e]+$", max_length=64, error_messages={"invalid": _("Up to 64 visible ASCII characters.")}
    )


class WidenSerializer(serializers.Serializer[Any]):
    radius_km = NumberField()


class PostponeSerializer(serializers.Serializer[Any]):
    departure_at = InstantField()


# Answered


class QuoteSerializer(serializers.Serializer[Quote]):
    distance_km = serializers.FloatField()
    duration_min = serializers.IntegerField()
    zone = serializers.CharField()
    base = serializers.IntegerField()
    distance_fare = serializers.IntegerField()
    multiplier = serializers.FloatField()
    fare = serializers.IntegerField()
    platform_fee = serializers.IntegerField()
    driver_earnings = serializers.IntegerField()
    seat_price = serializers.IntegerField()


class RatingGivenSerializer(serializers.ModelSerializer[Rating]):
    created_at = InstantField()

    class Meta:
        model = Rating
        fields = ("trip_id", "role", "stars", "comment", "created_at")


class TripSerializer(serializers.ModelSerializer[Trip]):
    """A trip as `viewer` (in the context) may see it; rows come from `trips.api.with_answer_columns`.

    Phone numbers are shown while a driver has the trip and has not finished, to the people on it and to staff.
    """

    pickup = serializers.SerializerMethodField()
    dropoff = serializers.SerializerMethodField()
    departure_at = InstantField()
    ends_at = InstantField()
    next_look_at = InstantField()
    # When staff and the passenger were told that nobody takes it; null: they were not.
    escalated_at = InstantField()
    created_at = InstantField()
    accepted_at = InstantField()
    completed_at = InstantField()
    cancelled_at = InstantField()
    organiser = serializers.SerializerMethodField()
    # Who travels where it is not the organiser; null: the organiser.
    traveller = serializers.SerializerMethodField()
    driver = serializers.SerializerMethodField()
    vehicle = serializers.SerializerMethodField()
    # False: the driver reported being at the pickup and no position confirms it.
    arrival_confirmed = serializers.SerializerMethodField()
    # What is wrong with the driver's way to the pickup, and since when; null: nothing.
    stall = serializers.SerializerMethodField()
    # Drivers asked at this moment who have not answered.
    offers_open = serializers.IntegerField()
    # Stars the viewer gave; null: none yet.
    my_stars = serializers.IntegerField()

    class Meta:
        model = Trip
        fields = (
            "id",
            "version",
            "status",
            "trip_type",
            "title",
            "pickup",
            "dropoff",
            "departure_at",
            "is_now",
            "timezone",
            "ends_at",
            "seats",
            "available_seats",
            "vehicle_class",
            "bags",
            "note",
            "distance_km",
            "duration_min",
            "zone",
            "fare",
            "platform_fee",
            "driver_earnings",
            "seat_price",
            "payment_method",
            "organiser",
            "traveller",
            "driver",
            "vehicle",
            "delay_minutes",
            "delay_reason",
            "arrival_confirmed",
            "stall",
            "offers_open",
            "next_look_at",
            "radius_km",
            "escalated_at",
            "created_at",
            "accepted_at",
            "completed_at",
            "cancelled_at",
            "cancel_reason",
            "my_stars",
        )
        read_only_fields = fields

    def get_pickup(self, trip: Trip) -> dict[str, Any]:
        return msgspec.to_builtins(cards.pickup(trip))

    def get_dropoff(self, trip: Trip) -> dict[str, Any]:
        return msgspec.to_builtins(cards.dropoff(trip))

    def get_organiser(self, trip: Trip) -> dict[str, Any]:
        organiser, visible = trip.organiser, self._may_call(trip)
        return {
            "id": organiser.pk,
            "name": organiser.name if visible else organiser.short_name,
            "phone": str(organiser.phone) if visible and organiser.phone else None,
            "rating": organiser.rating,
            "rating_count": organiser.rating_count,
        }

    def get_traveller(self, trip: Trip) -> dict[str, Any] | None:
        if not trip.traveller_phone:
            return None
        visible = self._may_call(trip)
        return {
            "name": trip.traveller_name if visible else trip.traveller_short_name,
            "phone": trip.traveller_phone if visible else None,
        }

    def _may_call(self, trip: Trip) -> bool:
        """Say whether the viewer may call who booked and who travels: the driver under way, the organiser, staff."""
        viewer = self._viewer
        drives = trip.driver is not None and trip.driver.user_id == viewer.pk and trip.status in ASSIGNED
        return drives or viewer.may_see_trips or viewer.pk == trip.organiser_id

    def get_driver(self, trip: Trip) -> dict[str, Any] | None:
        if trip.driver is None:
            return None
        visible = trip.status in ASSIGNED or self._viewer.may_see_trips
        card: dict[str, Any] = msgspec.to_builtins(cards.driver_card(trip.driver, with_phone=visible))
        return card

    def get_vehicle(self, trip: Trip) -> dict[str, Any] | None:
        return msgspec.to_builtins(cards.vehicle_card(trip.vehicle)) if trip.vehicle else None

    def get_arrival_confirmed(self, trip: Trip) -> bool:
        return not trip.awaits_confirmation

    def get_stall(self, trip: Trip) -> dict[str, Any] | None:
        if trip.stalled is None or trip.stalled.stalled_at is None:
            return None
        since = InstantField().to_representation(trip.stalled.stalled_at)
        return {"kind": trip.stalled.stall, "since": since}

    @property
    def _viewer(self) -> User:
        viewer: User = self.context["viewer"]
        return viewer


STATUSES = frozenset(TripStatus.values)
