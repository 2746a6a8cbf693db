"""The forms of passengers: booking, cancelling, rating. Prices are never read from them."""

import copy
import datetime as dt
import functools
from typing import Any, Self
from uuid import uuid4
from zoneinfo import ZoneInfo

from django import forms
from django.utils.translation import gettext_lazy as _

from realtime import events
from stepper.errors import DomainError, Text, TooManyRequests
from stepper.texts import PlainTextInput
from stepper.web.refusals import add_refusal

from . import places, wishes
from .booking_requests import (
    MOST_STOPS,
    SEATS,
    TRAVELLER_NAME,
    BookingRequest,
    Traveller,
    is_on_earth,
    zone_of,
    zone_of_place,
)
from .booking_times import OfferedTimes
from .kept_quotes import TOKEN_LENGTH
from .models import Rating
from .places.finding import Searcher
from .ratings import LARGEST_TIP
from .states import TAGS, CancelReason, VehicleClass

# Where the domain's names of what is wrong stand in the form.
_FIELDS = {
    "pickup": "pickup_name",
    "dropoff": "dropoff_name",
    "departure_at": "departure_time",
    "traveller.name": "traveller_name",
    "traveller.phone": "traveller_phone",
}
NOW, LATER = "now", "later"
# The fields of each place begin with one of these.
STOPS = tuple(f"stop{number}" for number in range(1, MOST_STOPS + 1))
PLACES = ("pickup", *STOPS, "dropoff")


def _text(**attrs: Any) -> forms.TextInput:
    return forms.TextInput(attrs={"autocomplete": "off", **attrs})


class BookingForm(forms.Form):
    """Two places (a name with coordinates, or the name of a known place), when, and how many."""

    # Parts of the form that nobody can change any more: they are sent as they are, and not shown.
    fixed: frozenset[str] = frozenset()
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
    wishes = forms.MultipleChoiceField(
        label=_("Wishes"),
        choices=wishes.offered_choices,
        required=False,
        widget=forms.CheckboxSelectMultiple,
        error_messages={"invalid_choice": _("One of these wishes is not offered any more. Choose again.")},
    )
    traveller_name = PlainTextInput(
        label=_("Their name"),
        max_length=TRAVELLER_NAME,
        required=False,
        widget=_text(**{"data-testid": "traveller-name"}),
    )
    traveller_phone = forms.CharField(
        label=_("Their phone"),
        max_length=40,
        required=False,
        widget=_text(type="tel", inputmode="tel"),
    )
    request_key = forms.CharField(max_length=64, required=False, widget=forms.HiddenInput)
    # Of the prices that the page shows (trips.kept_quotes).
    quote = forms.CharField(max_length=TOKEN_LENGTH, required=False, widget=forms.HiddenInput)

    def __init__(self, *args: Any, searcher: Searcher | None = None, **kwargs: Any) -> None:
        """`searcher`: who is counted for each name that is looked up; None: nobody is."""
        super().__init__(*args, **kwargs)
        self._searcher = searcher
        # Why names were not looked up.
        self.search_refusal: TooManyRequests | None = None
        # Read once: the field asks again for each of the values that were sent.
        self.fields["wishes"].choices = functools.cache(wishes.offered_choices)  # type: ignore[attr-defined]

    def clean_bags(self) -> int:
        return self.cleaned_data["bags"] or 0

    def clean(self) -> dict[str, Any]:
        data: dict[str, Any] = super().clean() or {}
        for side in PLACES:
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
        if side in STOPS and not name:
            return None  # added, and left empty
        known = self._look_up(name)
        if known is not None:
            return events.Place(known.name, known.address, known.lat, known.lng)
        if not name:
            self.add_error(f"{side}_name", _("Choose a place."))
        elif self.search_refusal is not None:
            self.add_error(f"{side}_name", str(self.search_refusal.message))
        else:
            self.add_error(f"{side}_name", _("Choose one from the list or press the map."))
        return None

    def _look_up(self, name: str) -> places.FoundPlace | None:
        """Return the place of this name; None: there is no single one, or whoever searches is over the limit."""
        if not name or self.search_refusal is not None:
            return None
        if self._searcher is not None:
            try:
                self._searcher.spend()
            except TooManyRequests as error:
                self.search_refusal = error
                return None
        return places.named(name)

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
            self.enter(departure_date=times.day, departure_time=times.time)

    def enter(self, **fields: str) -> None:
        """Write into the form's fields as if somebody had entered it."""
        data: Any = copy.copy(self.data)
        for name, value in fields.items():
            data[name] = value
        self.data = data

    def entered(self) -> dict[str, str | list[str]]:
        """Return what was entered, by field; of one with several values the list of them."""
        wished = self.fields["wishes"].widget.value_from_datadict(self.data, self.files, "wishes")
        return {**{name: self.data.get(name, "") for name in self.fields}, "wishes": list(wished or [])}

    def stop_fields(self) -> list[dict[str, Any]]:
        """Return for the template the fields of each stop; those that are filled, or wrong, are open."""
        parts = ("name", "address", "lat", "lng")
        stops = []
        for number, side in enumerate(STOPS, 1):
            fields = {part: self[f"{side}_{part}"] for part in parts}
            is_open = bool(fields["name"].value() or fields["name"].errors)
            stops.append({"side": side, "number": number, "is_open": is_open, **fields})
        return stops

    @property
    def has_wishes(self) -> bool:
        return bool(self["wishes"].value() or self["wishes"].errors)

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
            stops=tuple(data[side] for side in self._stop_sides),
            departure_at=data.get("departure_at"),
            seats=data.get("seats", 1),
            vehicle_class=data["vehicle_class"],
            bags=0 if priced_only else data["bags"],
            note="" if priced_only else data["note"],
            traveller=None if priced_only or not (traveller.name or traveller.phone) else traveller,
            wishes=() if priced_only else tuple(data["wishes"]),
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
        chosen = data.get("pickup") and data.get("dropoff") and "vehicle_class" in data
        return bool(chosen) and not any(self.errors.get(f"{side}_name") for side in STOPS)

    @property
    def _stop_sides(self) -> list[str]:
        """Return which of the stops are filled, in their order."""
        return [side for side in STOPS if self.cleaned_data.get(side)]

    def refuse(self, error: DomainError) -> None:
        """Add a refusal of the verb to the fields it names."""
        if error.code == "booking.key_reused":
            # Back from the trip it made, and something else chosen: the next press is another booking.
            self.enter(request_key=uuid4().hex)
            self.add_error(None, _("You have booked with this page before. Book again for one more trip."))
        else:
            stops = {f"stops.{number}": f"{side}_name" for number, side in enumerate(self._stop_sides)}
            seats = self.cleaned_data.get("seats")
            add_refusal(self, error, {**_FIELDS, **stops, "stops": f"{STOPS[-1]}_name"})
            if seats is not None:
                # Too many for the chosen class: the prices are those of so many, and say which classes have room.
                self.cleaned_data["seats"] = seats


def _place_fields(side: str, label: Text) -> dict[str, forms.Field]:
    """Return the fields of a place: its name, as it is typed, and what was chosen."""
    return {
        f"{side}_name": PlainTextInput(label=label, max_length=120, required=False, widget=_text()),
        f"{side}_address": PlainTextInput(max_length=200, required=False, widget=forms.HiddenInput()),
        f"{side}_lat": forms.FloatField(required=False, widget=forms.HiddenInput()),
        f"{side}_lng": forms.FloatField(required=False, widget=forms.HiddenInput()),
    }


STOP_LABELS = (_("First stop"), _("Second stop"), _("Third stop"))
for _side, _label in zip(STOPS, STOP_LABELS, strict=True):
    BookingForm.base_fields.update(_place_fields(_side, _label))


class CancelForm(forms.Form):
    reason_code = forms.ChoiceField(
        label=_("Why?"), choices=CancelReason.choices, required=False, widget=forms.RadioSelect
    )
    reason = PlainTextInput(
        label=_("In your words, if you like"),
        help_text=_("Our staff read it, the driver does not."),
        max_length=200,
        required=False,
        widget=_text(),
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not self.is_bound:
            # Kept when the page draws the question anew because the trip has changed; an answer draws what was sent.
            self.fields["reason"].widget.attrs["hx-preserve"] = True

    def clean(self) -> dict[str, Any]:
        data: dict[str, Any] = super().clean() or {}
        if data.get("reason") and not data.get("reason_code"):
            # With a reason that was chosen the words are not the driver's to read.
            data["reason_code"] = CancelReason.OTHER.value
        return data


class RatingForm(forms.Form):
    """Stars, tags, words; a tip where `with_tip` says that the passenger may note one."""

    stars = forms.TypedChoiceField(
        label=_("Stars"),
        choices=[(str(stars), str(stars)) for stars in range(1, 6)],
        coerce=int,
        widget=forms.RadioSelect,
        error_messages={"required": _("Choose 1 to 5 stars."), "invalid_choice": _("Choose 1 to 5 stars.")},
    )
    tags = forms.MultipleChoiceField(
        label=_("What was it like?"),
        required=False,
        widget=forms.CheckboxSelectMultiple,
        error_messages={"invalid_choice": _("Choose from the list.")},
    )
    comment = PlainTextInput(
        label=_("Comment, if you like"), max_length=500, required=False, widget=forms.Textarea(attrs={"rows": 2})
    )
    tip = forms.IntegerField(
        label=_("I gave a tip of, ₸"),
        required=False,
        min_value=0,
        max_value=LARGEST_TIP,
        widget=forms.NumberInput(
            attrs={"min": 0, "max": LARGEST_TIP, "inputmode": "numeric", "data-testid": "tip-input"}
        ),
        help_text=_("A note to the driver, if you like. Nothing is paid here."),
        error_messages={
            "invalid": _("Enter whole tenge, at most 1 000 000."),
            "min_value": _("Enter whole tenge, at most 1 000 000."),
            "max_value": _("Enter whole tenge, at most 1 000 000."),
        },
    )

    # Which driver, where it is not the last one.
    driver = forms.IntegerField(required=False, min_value=1, max_value=2**63 - 1, widget=forms.HiddenInput)

    def __init__(self, *args: Any, role: str, with_tip: bool, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["tags"].choices = TAGS[role].choices  # type: ignore[attr-defined]
        if not with_tip:
            del self.fields["tip"]

    @classmethod
    def of(cls, rating: Rating | None, *, role: str, with_tip: bool) -> Self:
        """Return the form with what was given; None: empty."""
        given: dict[str, Any] = {}
        if rating is not None:
            given = {
                "stars": str(rating.stars),
                "comment": rating.comment,
                "tags": rating.tag_values,
                "tip": rating.tip,
            }
        return cls(initial=given, role=role, with_tip=with_tip)

    def given(self) -> dict[str, Any]:
        """Return what was entered, as the verb takes it; an empty tip is none."""
        entered: dict[str, Any] = {**self.cleaned_data}
        entered["driver_id"] = entered.pop("driver")
        if "tip" in entered:
            entered["tip"] = entered["tip"] or 0
        return entered


class WidenForm(forms.Form):
    radius_km = forms.FloatField()


class PostponeForm(forms.Form):
    departure_at = forms.DateTimeField()
