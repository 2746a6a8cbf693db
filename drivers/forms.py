"""What a driver types on the dashboard: filters, a status with its details, stars."""

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from realtime import events
from trips.states import TripType

from .models import Driver


class FiltersForm(forms.Form):
    """The driver's wishes; an empty number removes the limit."""

    max_distance_km = forms.FloatField(
        required=False,
        min_value=1,
        max_value=1000,
        localize=True,
        error_messages={
            "invalid": _("Enter kilometres as a number, for example 15."),
            "min_value": _("Choose 1 to 1000 km."),
            "max_value": _("Choose 1 to 1000 km."),
        },
    )
    min_earnings = forms.IntegerField(
        required=False,
        min_value=0,
        max_value=100_000_000,
        error_messages={
            "invalid": _("Enter whole tenge, for example 2000."),
            "min_value": _("Choose 0 or more."),
            "max_value": _("Choose less: no trip pays that much."),
        },
    )
    trip_types = forms.MultipleChoiceField(
        choices=TripType.choices,
        error_messages={
            "required": _("Choose at least one kind of trip."),
            "invalid_choice": _("Choose from the list."),
        },
    )
    accepts_long_distance = forms.BooleanField(required=False)

    @classmethod
    def of(cls, driver: Driver) -> "FiltersForm":
        """Unbound, showing what is stored."""
        km = driver.max_distance_km
        return cls(
            initial={
                "max_distance_km": int(km) if km is not None and km.is_integer() else km,
                "min_earnings": driver.min_earnings,
                "trip_types": driver.trip_types,
                "accepts_long_distance": driver.accepts_long_distance,
            }
        )

    def filters(self) -> events.Filters:
        wishes: dict[str, Any] = self.cleaned_data
        return events.Filters(**wishes)


class StatusForm(forms.Form):
    """One step of a trip, or `delayed`, `released`, `no_show`; the position is the browser's, when it has one."""

    status = forms.CharField(max_length=20)
    note = forms.CharField(max_length=200, required=False)
    lat = forms.FloatField(required=False, min_value=-90, max_value=90)
    lng = forms.FloatField(required=False, min_value=-180, max_value=180)
    delay_minutes = forms.IntegerField(
        required=False, min_value=1, max_value=1440, error_messages={"invalid": _("Enter whole minutes.")}
    )
    delay_reason = forms.CharField(max_length=200, required=False)


class StarsForm(forms.Form):
    stars = forms.IntegerField(min_value=1, max_value=5)
