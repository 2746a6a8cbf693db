"""The form of a call: that of a booking, and who calls."""

from typing import Any

from django import forms
from django.conf import settings
from django.utils.translation import gettext_lazy as _

from stepper.errors import DomainError
from stepper.phones import EXAMPLE_PHONE
from stepper.texts import PlainTextInput
from trips.calls import NAME_LENGTH
from trips.forms import BookingForm


class CallForm(BookingForm):
    """A booking for who calls; `sms_language` is that of their SMS."""

    phone = forms.CharField(
        label=_("Caller's phone"),
        max_length=40,
        required=False,
        widget=forms.TextInput(
            attrs={
                "type": "tel",
                "inputmode": "tel",
                "autocomplete": "off",
                "placeholder": EXAMPLE_PHONE,
                "data-testid": "call-phone",
            }
        ),
    )
    caller_name = PlainTextInput(
        label=_("Caller's name"),
        max_length=NAME_LENGTH,
        required=False,
        widget=forms.TextInput(attrs={"autocomplete": "off", "data-testid": "call-name"}),
    )
    sms_language = forms.ChoiceField(label=_("Language of the SMS"), required=False)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["sms_language"].choices = settings.LANGUAGES  # type: ignore[attr-defined]

    def refuse(self, error: DomainError) -> None:
        """Add a refusal of the verb to the fields it names; what names no field stands above all of them."""
        known = {"key": None}
        if error.code == "booking.key_reused" or not error.fields.keys() & known.keys():
            super().refuse(error)
        else:
            self.add_error(None, error.reasons)

    def reasons(self) -> list[tuple[str, str]]:
        """Return what is wrong, with the field's label before it where it belongs to one."""
        return [
            (str(self.fields[name].label or "") if name in self.fields else "", str(text))
            for name, texts in self.errors.items()
            for text in texts
        ]
