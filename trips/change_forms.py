"""The forms that change a booked trip: the booking form filled with it, and the words to the driver alone."""

from collections.abc import Mapping
from typing import Any, Self
from zoneinfo import ZoneInfo

from django import forms
from django.utils.translation import gettext_lazy as _

from stepper.texts import PlainTextInput

from . import wishes
from .booking_requests import BookingRequest
from .changes import PICKUP_ADDRESS
from .forms import LATER, NOW, STOPS, BookingForm
from .models import Trip

_PARTS = ("name", "address", "lat", "lng")


def _words_of(trip: Trip, typed: Mapping[str, str] | None, *names: str) -> dict[str, str]:
    """Return the words to the driver as a form of the trip begins with them, and the same as `<name>_before`.

    `typed`: an outdated form as it was sent. What was written in it stays, unless somebody else has changed that too.
    """
    words: dict[str, str] = {}
    for name in names:
        stored = getattr(trip, name)
        before, written = ((typed or {}).get(key) for key in (f"{name}_before", name))
        words |= {name: stored, f"{name}_before": stored}
        if written is not None and before is not None and _is_same(before, stored):
            words[name] = written
    return words


def _is_same(first: str, second: str) -> bool:
    """Compare texts; a browser sends lines with other ends than are stored."""
    return first.splitlines() == second.splitlines()


class ChangeForm(BookingForm):
    """The booking form, filled with a trip. `version` and `note_before`: the trip's when the form was opened."""

    version = forms.IntegerField(min_value=0, required=False, widget=forms.HiddenInput)
    note_before = forms.CharField(required=False, strip=False, widget=forms.HiddenInput)

    @classmethod
    def of(cls, trip: Trip, typed: Mapping[str, str] | None = None) -> Self:
        """Return the form as the trip is now, with the words to the driver that were `typed` in an outdated one."""
        departure = trip.departure_at.astimezone(ZoneInfo(trip.timezone))
        data = {f"{end}_{part}": getattr(trip, f"{end}_{part}") for end in ("pickup", "dropoff") for part in _PARTS}
        data |= {
            "departure": NOW if trip.is_now else LATER,
            "departure_date": f"{departure:%Y-%m-%d}",
            "departure_time": f"{departure:%H:%M}",
            "vehicle_class": trip.vehicle_class,
            "seats": trip.seats,
            "bags": trip.bags,
            "traveller_name": trip.traveller_name,
            "traveller_phone": trip.traveller_phone,
            "version": trip.version,
            **_words_of(trip, typed, "note"),
        }
        for side, stop in zip(STOPS, trip.stop_list, strict=False):
            data |= {f"{side}_{part}": getattr(stop, part) for part in _PARTS}
        # A wish that is offered no more stays with the trip unless others are chosen.
        offered = {code for code, _name in wishes.offered_choices()}
        chosen = [wish.code for wish in trip.wish_list if wish.code in offered]
        return cls({**{name: str(value) for name, value in data.items()}, "wishes": chosen})

    def wanted(self, trip: Trip) -> dict[str, Any]:
        """Return the fields of the valid form that are not as the form of the trip would have them.

        So what a form cannot say, as the seconds of a departure, stays as it is in the trip.
        """
        as_it_is = type(self).of(trip)
        as_it_is.is_valid()
        before, after = as_it_is.request(), self.request()
        names = BookingRequest.__struct_fields__
        return {name: getattr(after, name) for name in names if getattr(after, name) != getattr(before, name)}


class DetailsForm(forms.Form):
    """What can still change when a driver has accepted."""

    pickup_address = PlainTextInput(
        label=_("Where exactly at the pickup"),
        help_text=_("An entrance, a gate, a floor. The point on the map stays where it is."),
        max_length=200,
        required=False,
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
    )
    note = PlainTextInput(
        label=_("Note to the driver"), max_length=300, required=False, widget=forms.Textarea(attrs={"rows": 3})
    )
    version = forms.IntegerField(min_value=0, required=False, widget=forms.HiddenInput)
    pickup_address_before = forms.CharField(required=False, strip=False, widget=forms.HiddenInput)
    note_before = forms.CharField(required=False, strip=False, widget=forms.HiddenInput)
    words = (PICKUP_ADDRESS, "note")

    @classmethod
    def of(cls, trip: Trip, typed: Mapping[str, str] | None = None) -> Self:
        """Return the form as the trip is now, with the words to the driver that were `typed` in an outdated one."""
        return cls(initial={**_words_of(trip, typed, *cls.words), "version": trip.version})

    def wanted(self, _trip: Trip) -> dict[str, Any]:
        return {name: self.cleaned_data[name] for name in self.words}
