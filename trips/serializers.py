"""Bodies of the trips' REST endpoints: what is read from requests, and the one shape a trip is answered in."""

from functools import cached_property
from typing import Any

import msgspec
from django.utils.translation import gettext_lazy as _
from rest_framework import serializers
from rest_framework.request import Request

from realtime import events
from stepper.api.base import InstantField, IntField, NumberField, StringField
from stepper.errors import InvalidFields
from stepper.models import ServiceSettings, User
from stepper.templatetags.units import in_language

from . import access, boarding, cards, legs
from .booking_requests import MOST_STOPS, SEATS, TRAVELLER_NAME, BookingRequest, Traveller
from .kept_quotes import TOKEN_LENGTH
from .models import Rating, Trip, TripLeg, Wish
from .models.wishes import CODE_LENGTH
from .ratings import LARGEST_TIP
from .states import ASSIGNED, CancelReason, TripStatus, VehicleClass

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
    stops = serializers.ListField(child=PlaceSerializer(), required=False, default=list, max_length=MOST_STOPS)
    # Codes of `GET /api/wishes`.
    wishes = serializers.ListField(
        child=StringField(max_length=CODE_LENGTH), required=False, default=list, max_length=20
    )
    # Of the quote whose price is to hold.
    quote = StringField(max_length=TOKEN_LENGTH, required=False, allow_blank=True, default="")

    def to_internal_value(self, data: Any) -> Any:
        fields = self.read_fields(data)
        quote = fields.pop("quote")
        return {"request": BookingRequest(**fields), "quote": quote}

    def read_fields(self, data: Any) -> dict[str, Any]:
        """Return those fields of a BookingRequest, and `quote`, that the body has, or that have a default."""
        fields: dict[str, Any] = super().to_internal_value(data)
        fields |= {name: events.Place(**fields[name]) for name in ("pickup", "dropoff") if name in fields}
        if fields.get("traveller"):
            fields["traveller"] = Traveller(**fields["traveller"])
        if "stops" in fields:
            fields["stops"] = tuple(events.Place(**stop) for stop in fields["stops"])
        if "wishes" in fields:
            fields["wishes"] = tuple(fields["wishes"])
        if "vehicle_class" in fields:
            fields["vehicle_class"] = str(fields["vehicle_class"])
        return fields


class ChangeSerializer(BookingSerializer):
    """What becomes of a booked trip: what is left out stays."""

    pickup_address = StringField(max_length=200, required=False, allow_blank=True)
    version = IntField(min_value=0, max_value=2**31 - 1, required=False)

    def get_fields(self) -> dict[str, Any]:
        fields: dict[str, Any] = super().get_fields()
        for field in fields.values():  # not `partial`, which would make a place's name optional as well
            field.required, field.default = False, serializers.empty
        return fields

    def to_internal_value(self, data: Any) -> Any:
        fields = self.read_fields(data)
        version, quote = fields.pop("version", None), fields.pop("quote", "")
        return {"version": version, "quote_token": quote, "wanted": fields}


class ReasonSerializer(serializers.Serializer[Any]):
    reason = StringField(max_length=200, required=False, allow_blank=True, default="")


class CancelSerializer(ReasonSerializer):
    reason_code = serializers.ChoiceField(choices=CancelReason.choices, required=False, allow_blank=True, default="")


class RatingSerializer(serializers.Serializer[Any]):
    stars = IntField(min_value=1, max_value=5)
    # Left out: the one that was given stays.
    comment = StringField(max_length=500, required=False, allow_blank=True)
    tags = serializers.ListField(child=StringField(max_length=40), max_length=20, required=False)
    tip = IntField(min_value=0, max_value=LARGEST_TIP, required=False)
    # Which driver the passenger rates; left out: who brought them to the destination.
    driver_id = IntField(min_value=1, max_value=2**63 - 1, required=False)


class IdempotencyKeySerializer(serializers.Serializer[Any]):
    key = serializers.RegexField(
        r"^[\x21-\x7e]+$", max_length=64, error_messages={"invalid": _("Up to 64 visible ASCII characters.")}
    )


def read_idempotency_key(request: Request) -> str:
    """Return the request's `Idempotency-Key`; "": it has none. Raises InvalidInput: input.invalid."""
    if "Idempotency-Key" not in request.headers:
        return ""
    bound = IdempotencyKeySerializer(data={"key": request.headers["Idempotency-Key"]})
    if not bound.is_valid():
        raise InvalidFields({"Idempotency-Key": bound.errors["key"]})
    key: str = bound.validated_data["key"]
    return key


class WidenSerializer(serializers.Serializer[Any]):
    radius_km = NumberField()


class PostponeSerializer(serializers.Serializer[Any]):
    departure_at = InstantField()


# Answered


class WishSerializer(serializers.ModelSerializer[Wish]):
    name = serializers.SerializerMethodField()

    class Meta:
        model = Wish
        fields = ("code", "name")

    def get_name(self, wish: Wish) -> str:
        return in_language(wish.names)


class RatingGivenSerializer(serializers.ModelSerializer[Rating]):
    tags = serializers.ListField(source="tag_values")
    created_at = InstantField()

    class Meta:
        model = Rating
        fields = ("trip_id", "role", "stars", "comment", "tags", "tip", "created_at")


class LegSerializer(serializers.ModelSerializer[TripLeg]):
    """A former leg of a trip as `viewer` (in the context) may see it. Rows come from trips.legs.legs_of."""

    driver = serializers.SerializerMethodField()
    vehicle = serializers.SerializerMethodField()
    pickup = serializers.CharField(source="from_name")
    dropoff = serializers.CharField(source="to_name")
    started_at = InstantField()
    ended_at = InstantField()
    distance_km = serializers.FloatField(source="km")
    platform_fee = serializers.SerializerMethodField()
    driver_earnings = serializers.SerializerMethodField()

    class Meta:
        model = TripLeg
        fields = (
            "number",
            "driver",
            "vehicle",
            "pickup",
            "dropoff",
            "started_at",
            "ended_at",
            "distance_km",
            "fare",
            "platform_fee",
            "driver_earnings",
        )

    def get_driver(self, leg: TripLeg) -> dict[str, Any]:
        card: dict[str, Any] = msgspec.to_builtins(cards.driver_card(leg.driver, with_phone=False))
        return card

    def get_vehicle(self, leg: TripLeg) -> dict[str, Any]:
        card: dict[str, Any] = msgspec.to_builtins(cards.vehicle_card(leg.vehicle))
        return card

    # Null to all but staff: what a former driver earned concerns neither the passenger nor the driver after them.

    def get_platform_fee(self, leg: TripLeg) -> int | None:
        return leg.fee if self.context["viewer"].may_see_trips else None

    def get_driver_earnings(self, leg: TripLeg) -> int | None:
        return leg.earned if self.context["viewer"].may_see_trips else None


class TripSerializer(serializers.ModelSerializer[Trip]):
    """A trip as `viewer` (in the context) may see it; rows come from `trips.api.with_answer_columns`.

    Phone numbers are shown while a driver has the trip and has not finished, to the people on it and to staff.
    """

    pickup = serializers.SerializerMethodField()
    dropoff = serializers.SerializerMethodField()
    # Each with `reached_at`; null: not yet.
    stops = serializers.SerializerMethodField()
    # Code and name, in the viewer's language.
    wishes = serializers.SerializerMethodField()
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
    # What former drivers drove of it, where staff handed it over on the way; the rest is the driver's.
    legs = serializers.SerializerMethodField()
    # False: the driver reported being at the pickup and no position confirms it.
    arrival_confirmed = serializers.SerializerMethodField()
    # What is wrong with the driver's way to the pickup, and since when; null: nothing.
    stall = serializers.SerializerMethodField()
    # How the fare is split; null to passengers.
    platform_fee = serializers.SerializerMethodField()
    driver_earnings = serializers.SerializerMethodField()
    # Of a reason that the passenger chose the others on the trip read no words, and not that the driver asked for it.
    cancel_code = serializers.SerializerMethodField()
    cancel_reason = serializers.SerializerMethodField()
    # Drivers asked at this moment who have not answered.
    offers_open = serializers.IntegerField()
    # Stars the viewer gave; null: none yet.
    my_stars = serializers.IntegerField()
    # What the passenger noted as a tip, to whom it concerns; null: nothing.
    tip = serializers.SerializerMethodField()
    # Whether the driver has to enter a code at boarding. To the passengers alone: which.
    boarding_code_required = serializers.SerializerMethodField()
    boarding_code = serializers.SerializerMethodField()

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
            "stops",
            "departure_at",
            "is_now",
            "timezone",
            "ends_at",
            "seats",
            "available_seats",
            "vehicle_class",
            "bags",
            "note",
            "wishes",
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
            "legs",
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
            "cancel_code",
            "cancel_reason",
            "my_stars",
            "tip",
            "boarding_code_required",
            "boarding_code",
        )
        read_only_fields = fields

    def get_pickup(self, trip: Trip) -> dict[str, Any]:
        return msgspec.to_builtins(cards.pickup(trip))

    def get_dropoff(self, trip: Trip) -> dict[str, Any]:
        return msgspec.to_builtins(cards.dropoff(trip))

    def get_stops(self, trip: Trip) -> list[dict[str, Any]]:
        return [msgspec.to_builtins(stop) for stop in trip.stop_list]

    def get_wishes(self, trip: Trip) -> list[dict[str, str]]:
        return [{"code": wish.code, "name": in_language(wish.names)} for wish in trip.wish_list]

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
        drives = access.drives(self._viewer, trip) and trip.status in ASSIGNED
        return drives or viewer.may_see_trips or viewer.pk == trip.organiser_id

    def get_driver(self, trip: Trip) -> dict[str, Any] | None:
        if trip.driver is None:
            return None
        visible = trip.status in ASSIGNED or self._viewer.may_see_trips
        card: dict[str, Any] = msgspec.to_builtins(cards.driver_card(trip.driver, with_phone=visible))
        return card

    def get_vehicle(self, trip: Trip) -> dict[str, Any] | None:
        return msgspec.to_builtins(cards.vehicle_card(trip.vehicle)) if trip.vehicle else None

    def get_legs(self, trip: Trip) -> list[dict[str, Any]]:
        return [LegSerializer(leg, context=self.context).data for leg in self._legs.get(trip.pk, ())]

    @cached_property
    def _legs(self) -> dict[int, list[TripLeg]]:
        """Read once for all trips of a list."""
        shown = self.instance if self.parent is None else self.parent.instance
        return legs.legs_of([shown] if isinstance(shown, Trip) else shown or [])

    def get_arrival_confirmed(self, trip: Trip) -> bool:
        return not trip.awaits_confirmation

    def get_stall(self, trip: Trip) -> dict[str, Any] | None:
        if trip.stalled is None or trip.stalled.stalled_at is None:
            return None
        since = InstantField().to_representation(trip.stalled.stalled_at)
        return {"kind": trip.stalled.stall, "since": since}

    def get_cancel_code(self, trip: Trip) -> str:
        hidden = trip.cancel_code == CancelReason.DRIVER_ASKED and not self._reads_cancel_words(trip)
        return "" if hidden else trip.cancel_code

    def get_cancel_reason(self, trip: Trip) -> str:
        return trip.cancel_reason if not trip.cancel_code or self._reads_cancel_words(trip) else ""

    def _reads_cancel_words(self, trip: Trip) -> bool:
        return self._viewer.may_see_trips or self._viewer.pk == trip.organiser_id

    def get_tip(self, trip: Trip) -> int | None:
        viewer = self._viewer
        concerned = trip.organiser_id == viewer.pk or access.drives(self._viewer, trip) or viewer.may_see_trips
        tip: int | None = trip.tip_noted if concerned else None  # type: ignore[attr-defined]
        return tip

    def get_platform_fee(self, trip: Trip) -> int | None:
        return trip.platform_fee if self._sees_split(trip) else None

    def get_driver_earnings(self, trip: Trip) -> int | None:
        return trip.driver_earnings if self._sees_split(trip) else None

    def _sees_split(self, trip: Trip) -> bool:
        return access.drives(self._viewer, trip) or self._viewer.may_see_trips

    def get_boarding_code_required(self, trip: Trip) -> bool:
        if not trip.boarding_code:
            return False
        return boarding.is_asked(trip, self._settings)

    def get_boarding_code(self, trip: Trip) -> str | None:
        if not boarding.is_shown_to(self._viewer, trip) or not self.get_boarding_code_required(trip):
            return None
        return trip.boarding_code

    @cached_property
    def _settings(self) -> ServiceSettings:
        """Read once for all trips of a list, which one serializer answers; none of them may have a code."""
        return ServiceSettings.current()

    @property
    def _viewer(self) -> User:
        viewer: User = self.context["viewer"]
        return viewer


STATUSES = frozenset(TripStatus.values)
