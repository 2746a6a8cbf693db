"""Request and response bodies of the drivers' REST endpoints.

Positions and filters are read as structs of the event contract (`stepper.api.base.read_struct`): the sockets use the
same ones, and a serializer would be too slow for a hundred points.
"""

from typing import Any

import msgspec
from django.utils.translation import gettext_lazy as _
from rest_framework import serializers

from drivers.working_time import BREAK_MAX, BREAK_MIN
from stepper.api.base import InstantField, IntField, NumberField, StringField
from stepper.models import User
from trips.cards import vehicle_card

from .models import AvailabilityChange, Break, Driver

# Requests


class StatusSerializer(serializers.Serializer[Any]):
    """`status`: the next state, or `delayed` (delay_minutes), `stop_reached` (stop), `released` or `no_show`."""

    status = StringField(max_length=20)
    note = StringField(max_length=300, required=False, allow_blank=True, default="")
    lat = NumberField(min_value=-90, max_value=90, required=False, allow_null=True, default=None)
    lng = NumberField(min_value=-180, max_value=180, required=False, allow_null=True, default=None)
    delay_minutes = IntField(min_value=1, max_value=1440, required=False, allow_null=True, default=None)
    delay_reason = StringField(max_length=200, required=False, allow_blank=True, default="")
    stop = IntField(min_value=1, max_value=100, required=False, allow_null=True, default=None)
    code = StringField(max_length=8, required=False, allow_blank=True, default="")

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if (attrs["lat"] is None) != (attrs["lng"] is None):
            missing = "lat" if attrs["lat"] is None else "lng"
            raise serializers.ValidationError({missing: [_("Give both of lat and lng, or neither.")]})
        return attrs


class AvailabilitySerializer(serializers.Serializer[Any]):
    availability = serializers.ChoiceField(choices=["available", "offline"])


class NewBreakSerializer(serializers.Serializer[Any]):
    """Either `minutes`, for a break from now on, or `starts_at` and `ends_at`."""

    minutes = IntField(min_value=BREAK_MIN, max_value=BREAK_MAX, required=False)
    starts_at = InstantField(required=False)
    ends_at = InstantField(required=False)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if set(attrs) not in ({"minutes"}, {"starts_at", "ends_at"}):
            raise serializers.ValidationError(_("Give minutes, or starts_at and ends_at."))
        return attrs


# Responses


class FiltersSerializer(serializers.ModelSerializer[Driver]):
    class Meta:
        model = Driver
        fields = ("max_distance_km", "min_earnings", "trip_types", "accepts_long_distance")
        read_only_fields = fields


class AvailabilityAnswerSerializer(serializers.ModelSerializer[Driver]):
    class Meta:
        model = Driver
        fields = ("availability", "is_online")
        read_only_fields = fields


class AvailabilityChangeSerializer(serializers.ModelSerializer[AvailabilityChange]):
    """One row of the driver's own history."""

    created_at = InstantField()

    class Meta:
        model = AvailabilityChange
        fields = ("id", "previous", "availability", "is_online", "cause", "note", "created_at")
        read_only_fields = fields


class WorkingTimeSerializer(serializers.ModelSerializer[Driver]):
    hours = serializers.JSONField(source="weekly_hours")
    next_change_at = InstantField(source="hours_due_at")
    auto_offline_at = InstantField()

    class Meta:
        model = Driver
        fields = ("timezone", "hours", "next_change_at", "auto_offline_min", "auto_offline_at")
        read_only_fields = fields


class BreakSerializer(serializers.ModelSerializer[Break]):
    starts_at = InstantField()
    ends_at = InstantField()
    started_at = InstantField()
    ended_at = InstantField()

    class Meta:
        model = Break
        fields = ("id", "starts_at", "ends_at", "started_at", "ended_at", "resumes")
        read_only_fields = fields


class MyDriverSerializer(serializers.ModelSerializer[Driver]):
    """The driver's own account, for themselves."""

    rating = serializers.FloatField()
    vehicle = serializers.SerializerMethodField()
    filters = FiltersSerializer(source="*")

    class Meta:
        model = Driver
        fields = (
            "id",
            "approval",
            "availability",
            "is_online",
            "licence_expires_on",
            "rating",
            "rating_count",
            "vehicle",
            "filters",
        )
        read_only_fields = fields

    def get_vehicle(self, driver: Driver) -> dict[str, Any] | None:
        return msgspec.to_builtins(vehicle_card(driver.vehicle)) if driver.vehicle else None


class MeSerializer(serializers.ModelSerializer[User]):
    """The signed-in user; `driver` null: not a driver."""

    phone = serializers.SerializerMethodField()
    rating = serializers.FloatField()
    driver = serializers.SerializerMethodField()

    class Meta:
        model = User
        fields = ("id", "name", "email", "phone", "language", "is_staff", "rating", "rating_count", "driver")
        read_only_fields = fields

    def get_phone(self, user: User) -> str | None:
        return str(user.phone) if user.phone else None

    def get_driver(self, user: User) -> dict[str, Any] | None:
        driver = Driver.objects.select_related("vehicle").filter(user=user).first()
        return None if driver is None else dict(MyDriverSerializer(driver).data)
