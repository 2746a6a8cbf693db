"""The forms of the panels of a trip and of a driver."""

from collections.abc import Mapping
from typing import Any, Self

from django import forms
from django.utils.translation import gettext_lazy as _

from stepper.ops.actions import Action, Picking
from stepper.texts import PlainTextInput
from trips import editing
from trips.access import NOBODY
from trips.change_forms import ChangeForm
from trips.editing import MOST_FARE
from trips.models import Trip
from trips.states import ABOARD

REASON_LENGTH = 200
# No larger id is in either database.
_LARGEST_ID = 2**63 - 1


def _shown_driver() -> forms.IntegerField:
    """Return the field that keeps whom the page showed: a driver's id, or `access.NOBODY`; empty: not kept."""
    return forms.IntegerField(required=False, min_value=NOBODY, max_value=_LARGEST_ID, widget=forms.HiddenInput)


class ActionForm(forms.Form):
    """The reason of an action, where it takes one; and whose trip it was when the page was shown."""

    reason = PlainTextInput(
        label=_("Reason"), max_length=REASON_LENGTH, widget=forms.TextInput(attrs={"autocomplete": "off"})
    )
    shown = _shown_driver()

    def __init__(self, action: Action, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if action.reason is None:
            del self.fields["reason"]
        else:
            self.fields["reason"].required = action.reason.needed
            self.fields["reason"].help_text = str(action.reason.help)


class PickForm(forms.Form):
    """Which driver gets the trip. `mode`: what the page that was shown would do."""

    mode = forms.ChoiceField(choices=Picking.choices, widget=forms.HiddenInput)
    driver = forms.IntegerField(
        min_value=1, max_value=_LARGEST_ID, error_messages={"required": _("Choose a driver.")}, label=_("Driver")
    )
    shown = _shown_driver()
    place = PlainTextInput(
        label=_("Where the passengers wait"),
        max_length=120,
        required=False,
        help_text=_(
            "Empty: where the present driver's phone was last. Or coordinates (43.25, 76.95), a known place, or words "
            "about where that phone is: “petrol station at km 84”."
        ),
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
    )
    part = forms.IntegerField(
        label=_("Part of the fare for the present driver, ₸"),
        min_value=0,
        max_value=MOST_FARE,
        required=False,
        help_text=_("Empty: by the kilometres driven and left. The fee is split alike; the new driver has the rest."),
        widget=forms.NumberInput(attrs={"inputmode": "numeric"}),
    )
    reason = PlainTextInput(
        label=_("Reason"),
        max_length=REASON_LENGTH,
        required=False,
        help_text=_("Needed where something speaks against the driver. Staff alone read it."),
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
    )

    def __init__(self, *args: Any, mode: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if mode == Picking.HAND_OVER:
            self.fields["reason"].required = True
            self.fields["reason"].help_text = _("For the trip's history, which staff alone read.")
        else:
            del self.fields["place"], self.fields["part"]


# By the parts of the booking form, one of the trip's columns that they change.
_PARTS = {
    "pickup": "pickup_lat",
    "stops": "stops",
    "dropoff": "dropoff_lat",
    "departure": "departure_at",
    "vehicle_class": "vehicle_class",
    "seats": "seats",
    "wishes": "wishes",
    "traveller": "traveller_name",
}


def _fixed_parts(trip: Trip) -> frozenset[str]:
    """Return the parts of the form that staff cannot change any more."""
    still = editing.changeable(trip)
    if still is None:
        return frozenset()
    fixed = {part for part, column in _PARTS.items() if column not in still}
    # The note is for finding the passengers.
    return frozenset(fixed | {"note"} if trip.status in ABOARD else fixed)


class EditForm(ChangeForm):
    """The booking form filled with a trip, for staff: with a fare of their own, and why."""

    fare = forms.IntegerField(
        label=_("Fare, ₸"),
        min_value=1,
        max_value=MOST_FARE,
        required=False,
        help_text=_("Empty: by the tariff. It stays as it is while way, class and seats stay."),
        widget=forms.NumberInput(attrs={"inputmode": "numeric"}),
    )
    reason = PlainTextInput(
        label=_("Reason"),
        max_length=REASON_LENGTH,
        help_text=_("For the trip's history, which staff alone read."),
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
    )

    @classmethod
    def of(cls, trip: Trip, typed: Mapping[str, str] | None = None) -> Self:
        form = super().of(trip, typed)
        form.fixed = _fixed_parts(trip)
        # Bound, as its parent has it, without saying at once that the reason is missing.
        form.is_valid()
        form.errors.pop("reason", None)
        return form

    def anew(self, trip: Trip) -> Self:
        """Return the form of a trip that has gone on meanwhile, with the fare and the reason that were entered."""
        form = type(self).of(trip)
        form.enter(fare=self.data.get("fare", ""), reason=self.data.get("reason", ""))
        form.full_clean()
        return form
