"""The forms of an application: the person, the vehicle, a document, the agreement."""

import datetime as dt
from typing import Any

from django import forms
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from stepper.models import User
from stepper.phones import normal_phone
from stepper.texts import PlainTextInput
from trips.states import VehicleClass

from .models import DriverApplication
from .papers import Paper, Papers
from .pictures import ACCEPT
from .plates import PlateInput, validate_plate

OLDEST_YEAR = 1980


class PersonForm(forms.Form):
    name = PlainTextInput(
        label=_("Your full name, as on your licence"),
        max_length=80,
        widget=forms.TextInput(attrs={"autocomplete": "name"}),
    )
    phone = forms.CharField(
        label=_("Phone"),
        max_length=30,
        help_text=_("Passengers call you on it."),
        widget=forms.TextInput(attrs={"autocomplete": "tel", "inputmode": "tel"}),
    )
    licence_number = PlainTextInput(
        label=_("Number of your driving licence"),
        max_length=32,
        widget=forms.TextInput(attrs={"autocomplete": "off", "autocapitalize": "characters"}),
    )

    def __init__(self, user: User, application: DriverApplication, data: Any = None) -> None:
        super().__init__(
            data, initial={"name": application.name or user.name, "licence_number": application.licence_number}
        )
        if user.phone is not None:
            del self.fields["phone"]

    def clean_phone(self) -> str:
        phone = normal_phone(self.cleaned_data["phone"])
        if phone is None:
            raise forms.ValidationError(_("Enter a phone number, for example +7 701 234 56 78."))
        return phone


class VehicleForm(forms.Form):
    make = PlainTextInput(label=_("Make"), max_length=40, help_text=_("For example Toyota."))
    model = PlainTextInput(label=_("Model"), max_length=40)
    colour = PlainTextInput(label=_("Colour"), max_length=30)
    plate = PlateInput(label=_("Plate"), max_length=20, widget=forms.TextInput(attrs={"autocapitalize": "characters"}))
    year = forms.IntegerField(
        label=_("Year it was built"),
        min_value=OLDEST_YEAR,
        max_value=2100,
        widget=forms.TextInput(attrs={"inputmode": "numeric"}),
    )
    vehicle_class = forms.ChoiceField(label=_("Kind"), choices=VehicleClass.choices)
    seats = forms.IntegerField(
        label=_("Seats for passengers"),
        min_value=1,
        max_value=60,
        widget=forms.TextInput(attrs={"inputmode": "numeric"}),
    )

    def __init__(self, application: DriverApplication, data: Any = None) -> None:
        super().__init__(data, initial={name: getattr(application, name) for name in self.base_fields})

    def clean_plate(self) -> str:
        plate: str = self.cleaned_data["plate"]
        validate_plate(plate)
        return plate

    def clean_year(self) -> int:
        year: int = self.cleaned_data["year"]
        if year > timezone.localdate().year + 1:
            raise forms.ValidationError(_("This year has not come yet."))
        return year


class DocumentForm(forms.Form):
    """A picture of a document and until when it is valid; of what does not expire the picture alone."""

    file = forms.FileField(
        label=_("Photo of it"),
        allow_empty_file=True,
        widget=forms.FileInput(attrs={"accept": ACCEPT, "data-testid": "document-upload"}),
        error_messages={"required": _("Choose a photo.")},
    )
    expires_on = forms.DateField(
        label=_("Valid until"),
        widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d"),
        error_messages={"invalid": _("Enter a date."), "required": _("Enter the last day on which it is valid.")},
    )

    # Set by whoever draws the page: how this kind of document stands.
    paper: Paper

    def __init__(self, kind: str, *args: Any, expires: bool, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.auto_id = f"{kind}-%s"
        self.kind = kind
        if not expires:
            del self.fields["expires_on"]

    @property
    def picture(self) -> bytes:
        content: bytes = self.cleaned_data["file"].read()
        return content

    @property
    def expires_on_entered(self) -> dt.date | None:
        return self.cleaned_data.get("expires_on")


class ConsentForm(forms.Form):
    agreed = forms.BooleanField(
        label=_("I agree that these details and documents are checked and kept while I drive here."),
        error_messages={"required": _("Without it nobody may check your documents.")},
    )


def document_forms(papers: Papers, sent: DocumentForm | None = None) -> list[DocumentForm]:
    """Return a form for each kind of document; `sent` instead of its own, with its errors."""
    rows = [
        sent if sent is not None and sent.kind == paper.kind else DocumentForm(paper.kind, expires=paper.expires)
        for paper in papers.papers
    ]
    for row, paper in zip(rows, papers.papers, strict=True):
        row.paper = paper
    return rows
