"""What of the audit log is searched for, and its pages: by key, so that the last one is as fast as the first."""

import datetime as dt
from typing import Any

from django import forms
from django.db.models import QuerySet
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from stepper.admin import searching
from stepper.dates import midnight_of
from stepper.db.keyset import ListPage, page_by_instant
from stepper.models import AuditAction, AuditEntry, User
from stepper.ops.audit_words import kinds

# Accounts that a name may stand for; more are no answer to "who was it".
ACCOUNTS_SEARCHED = 20


class AccountField(forms.CharField):
    """A number, name, e-mail address or phone; cleans to the ids of the accounts, None: nothing was asked for."""

    def clean(self, value: Any) -> list[int] | None:
        term = super().clean(value)
        if not term:
            return None
        # A shorter number than any phone's is that of an account, also of one that is gone.
        if term.isascii() and term.isdigit() and len(term) < 10:
            return [int(term)]
        condition = searching.condition_of(User, searching.person(), term)
        named = User.objects.none() if condition is None else User.objects.filter(condition)
        return sorted(named.values_list("pk", flat=True)[:ACCOUNTS_SEARCHED])


def _actions() -> list[Any]:
    return [("", _("All")), *AuditAction.choices]


def _kinds() -> list[Any]:
    return [("", _("All")), *kinds()]


def _day_input() -> forms.DateInput:
    return forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d")


class SearchForm(forms.Form):
    """What can be searched for; all of it together."""

    BY = (("", _("Anybody")), ("staff", _("Staff")), ("system", _("The system")))

    actor = AccountField(label=_("Who"), required=False, max_length=100)
    by = forms.ChoiceField(label=_("Done by"), required=False, choices=BY)
    person = AccountField(label=_("About whom"), required=False, max_length=100)
    action = forms.ChoiceField(label=_("Action"), required=False, choices=_actions)
    model = forms.ChoiceField(label=_("What it is about"), required=False, choices=_kinds)
    number = forms.CharField(label=_("Its number"), required=False, max_length=40)
    since = forms.DateField(label=_("From day"), required=False, widget=_day_input())
    until = forms.DateField(label=_("To day"), required=False, widget=_day_input())

    @property
    def people(self) -> list[int]:
        """The accounts that the entries are about; empty: anybody's."""
        return self.cleaned_data.get("person") or [] if self.is_valid() else []

    def is_used(self) -> bool:
        return self.is_valid() and any(value not in (None, "") for value in self.cleaned_data.values())


def _midnight(day: dt.date) -> dt.datetime:
    return midnight_of(day, timezone.get_default_timezone())


def find_entries(form: SearchForm) -> QuerySet[AuditEntry]:
    """Return the entries that were asked for, without an order; none for what cannot be read."""
    if not form.is_valid():
        return AuditEntry.objects.none()
    data, found = form.cleaned_data, AuditEntry.objects.all()
    for name in ("actor", "person"):
        ids = data[name]
        if ids is not None:
            # One value lets the index give the order, too.
            found = found.filter(**({name: ids[0]} if len(ids) == 1 else {f"{name}__in": ids}))
    if data["by"]:
        found = found.filter(actor__isnull=data["by"] == "system")
    if data["action"]:
        found = found.filter(action=data["action"])
    if data["model"]:
        found = found.filter(model=data["model"])
    if data["number"]:
        found = found.filter(object_id=data["number"])
    if data["since"]:
        found = found.filter(at__gte=_midnight(data["since"]))
    if data["until"]:
        found = found.filter(at__lt=_midnight(data["until"]) + dt.timedelta(days=1))
    return found


def page_of(form: SearchForm, before: str, size: int) -> ListPage:
    """Return the entries behind a cursor, the newest first, with their accounts; "": the first page. One query."""
    entries = find_entries(form).select_related("actor", "person")
    return page_by_instant(entries, "at", before, latest_first=True, size=size)
