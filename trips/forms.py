"""The forms of passengers: booking, cancelling, rating. Prices are never read from them."""

import datetime as dt
from typing import Any, Self
from uuid import uuid4
from zoneinfo import ZoneInfo

from django import forms
from django.utils.translation import gettext_lazy as _

from realtime import events
from stepper.errors import DomainError
from stepper.texts import PlainTextInput
from stepper.web.refusals import add_refusal

from . import places
from .booking_requests import SEATS, TRAVELLER_NAME, BookingRequest, Traveller, is_on_earth, zone_of, zone_of_place
from .booking_times import OfferedTimes
from .models import Rating
from .states import VehicleClass

# Where the domain's names of what is wrong stand in the form.
_FIELDS = {
    "pickup": "pickup_name",
    "dropoff": "dropoff_name",
    "departure_at": "departure_time",
    "traveller.name": "traveller_name",
    "traveller.phone": "traveller_phone",
}
NOW, LATER = "now", "later"


def _text(**attrs: Any) -> forms.TextInput:
    return forms.TextInput(attrs={"autocomplete": "off", **attrs})


class BookingForm(forms.Form):
    """Two places (a name with coordinates, or the name of a known place), when, and how many."""

    pickup_name = PlainTextInput(label=_("Pickup"), max_length=120, required=False, widget=_text())
    pickup_address = PlainTextInput(max_length=200, required=False, widget=forms.HiddenInput)
    pickup_lat = forms.FloatField(required=False, widget=forms.HiddenInput)
    pickup_lng = forms.FloatField(required=False, widget=forms.HiddenInput)
    dropoff_name = PlainTextInput(label=_("Dropoff"), max_length=120, required=False, widget=_text())
    dropoff_address = PlainTextInput(max_length=200, required=False, widget=forms.HiddenInput)
    dropoff_lat = forms.FloatField(required=False, widget=forms.HiddenInput)
    dropoff_lng = forms.FloatField(required=False, widget=forms.HiddenInput)
    departure = forms.ChoiceField(
        label=_("When"), choices=[(NOW, _("Now")), (LATER, _("Later"))], initial=NOW, widget=forms.RadioSelect
    )
    departure_date = forms.DateField(
        label=_("Date"), required=False, widget=forms.DateInput(format="%Y-%m-%d", attrs={"type": "date"})
    )
    departure_time = forms.TimeField(
        label=_("Time at the pickup"), required=False, widget=forms.TimeInput(format="%H:%M", attrs={"type": "time"})
    )
    vehicle_class = forms.ChoiceField(
        label=_("Vehicle"), choices=VehicleClass.choices, initial=VehicleClass.SEDAN, widget=forms.RadioSelect
    )
    seats = forms.IntegerField(
        label=_("Seats"),
        initial=1,
        widget=forms.NumberInput(attrs={"min": 1, "max": max(SEATS.values()), "inputmode": "numeric"}),
    )
    bags = forms.IntegerField(
        label=_("Bags"),
        initial=0,
        required=False,
        widget=forms.NumberInput(attrs={"min": 0, "max": 50, "inputmode": "numeric"}),
    )
    note = PlainTextInput(
        label=_("Note to the driver"), max_length=300, required=False, widget=forms.Textarea(attrs={"rows": 2})
    )
    traveller_name = PlainTextInput(
        label=_("Their name"),
        max_length=TRAVELLER_NAME,
        required=False,
        widget=_text(**{"data-testid": "traveller-name"}),
    )
    traveller_phone = forms.CharField(
        label=_("Their phone"), max_length=40, required=False, widget=_text(type="tel", inputmode="tel")
    )
    request_key = forms.CharField(max_length=64, required=False, widget=forms.HiddenInput)

    def clean_bags(self) -> int:
        return self.cleaned_data["bags"] or 0

    def clean(self) -> dict[str, Any]:
        data: dict[str, Any] = super().clean() or {}
        for side in ("pickup", "dropoff"):
            data[side] = self._place(side, data)
        if data.get("departure") == LATER:
            data["departure_at"] = self._instant(data)
        return data

    def _place(self, side: str, data: dict[str, Any]) -> events.Place | None:
        """Return the place as it will be booked; None: the form has an error at its name."""
        name, lat, lng = data.get(f"{side}_name", ""), data.get(f"{side}_lat"), data.get(f"{side}_lng")
        broken = [self.errors.pop(field, None) for field in (f"{side}_lat", f"{side}_lng")]
        if any(broken):
            self.add_error(f"{side}_name", _("These coordinates are no place; choose it again."))
            return None
        if lat is not None and lng is not None:
            address = data.get(f"{side}_address", "")
            return events.Place(name or str(_("Point on the map")), address or f"{lat:.5f}, {lng:.5f}", lat, lng)
        known = places.named(name)
        if known is None:
            text = _("Choose one from the list or press the map.") if name else _("Choose a place.")
            self.add_error(f"{side}_name", text)
            return None
        return events.Place(known.name, known.address, known.lat, known.lng)

    def _instant(self, data: dict[str, Any]) -> dt.datetime | None:
        """Return the chosen wall-clock time in the pickup's zone."""
        for field, text in (("departure_date", _("Choose a date.")), ("departure_time", _("Choose a time."))):
            if not data.get(field) and field not in self.errors:
                self.add_error(field, text)
        if not data.get("departure_date") or not data.get("departure_time"):
            return None
        pickup: events.Place | None = data["pickup"]
        if pickup is None or not is_on_earth(pickup):
            return None  # `check_request` says so at the place
        zone = ZoneInfo(zone_of(pickup.lat, pickup.lng))
        return dt.datetime.combine(data["departure_date"], data["departure_time"], zone)

    def offer_times(self, times: OfferedTimes) -> None:
        """Begin "later" with the suggested time where none was entered, and offer only days that can be booked."""
        self.fields["departure_date"].widget.attrs |= {"min": f"{times.first_day}", "max": f"{times.last_day}"}
        if not self.is_bound:
            self.initial = {**self.initial, "departure_date": times.day, "departure_time": times.time}
        elif self.data.get("departure") != LATER:
            self.data = {**dict(self.data.items()), "departure_date": times.day, "departure_time": times.time}

    @property
    def zone(self) -> str:
        """The time zone of the pickup; the home zone while there is none."""
        pickup = self.cleaned_data.get("pickup") if self.is_bound and self.errors is not None else None
        return zone_of_place(pickup)

    @property
    def is_later(self) -> bool:
        return bool(self["departure"].value() == LATER)

    def request(self, *, priced_only: bool = False) -> BookingRequest:
        """Return the request for the verb; `priced_only` leaves out what changes neither price nor wait."""
        data = self.cleaned_data
        traveller = Traveller(data.get("traveller_name", ""), data.get("traveller_phone", ""))
        return BookingRequest(
            pickup=data["pickup"],
            dropoff=data["dropoff"],
            departure_at=data.get("departure_at"),
            seats=data.get("seats", 1),
            vehicle_class=data["vehicle_class"],
            bags=0 if priced_only else data["bags"],
            note="" if priced_only else data["note"],
            traveller=None if priced_only or not (traveller.name or traveller.phone) else traveller,
        )

    @property
    def is_for_somebody_else(self) -> bool:
        """Say whether something about another traveller was entered, so that its fields are shown."""
        return any(self[name].value() for name in ("traveller_name", "traveller_phone"))

    def has_places(self) -> bool:
        """Say whether both places are chosen and something else is wrong."""
        return self.is_bound and not self.is_valid() and all(self.cleaned_data.get(s) for s in ("pickup", "dropoff"))

    def price_errors(self) -> list[str]:
        """Return what is wrong with the fields that price and wait depend on beside the places."""
        names = ("seats", "vehicle_class", "departure_date", "departure_time")
        return [str(error) for name in names for error in self.errors.get(name, [])]

    def is_priceable(self) -> bool:
        """Say whether everything that the price depends on is there and well-formed: how many travel is not."""
        self.is_valid()
        data = self.cleaned_data
        return bool(data.get("pickup") and data.get("dropoff") and "vehicle_class" in data)

    def refuse(self, error: DomainError) -> None:
        """Add a refusal of the verb to the fields it names."""
        if error.code == "booking.key_reused":
            # Back from the trip it made, and something else chosen: the next press is another booking.
            self.data = {**dict(self.data.items()), "request_key": uuid4().hex}
            self.add_error(None, _("You have booked with this page before. Book again for one more trip."))
        else:
            add_refusal(self, error, _FIELDS)


class CancelForm(forms.Form):
    reason = PlainTextInput(label=_("Reason, if you like"), max_length=200, required=False, widget=_text())


class RatingForm(forms.Form):
    stars = forms.TypedChoiceField(
        label=_("Stars"),
        choices=[(str(stars), str(stars)) for stars in range(1, 6)],
        coerce=int,
        widget=forms.RadioSelect,
        error_messages={"required": _("Choose 1 to 5 stars."), "invalid_choice": _("Choose 1 to 5 stars.")},
    )
    comment = PlainTextInput(
        label=_("Comment, if you like"), max_length=500, required=False, widget=forms.Textarea(attrs={"rows": 2})
    )

    @classmethod
    def of(cls, rating: Rating | None) -> Self:
        """Return the form with what was given; None: empty."""
        return cls(initial={"stars": str(rating.stars), "comment": rating.comment} if rating else None)


class WidenForm(forms.Form):
    radius_km = forms.FloatField()


class PostponeForm(forms.Form):
    departure_at = forms.DateTimeField()
