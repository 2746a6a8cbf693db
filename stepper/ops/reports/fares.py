"""Fares: what they are, what others would have made of yesterday's trips, changing them, and every change there was."""

from typing import Any

from django import forms
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.contenttypes.models import ContentType
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods

from stepper import limits
from stepper.admin import told_changes
from stepper.admin.confirmed import require_staff_confirmed
from stepper.admin.service_settings import CHANGE_FARES
from stepper.admin.service_settings import FARES as FARE_FIELDS
from stepper.db.clock import database_now
from stepper.db.transactions import in_transaction
from stepper.errors import Conflict, DomainError, TooManyRequests
from stepper.models import ServiceSettings, User
from stepper.ops.access import ops_page
from stepper.ops.sections import FARES
from stepper.web.refusals import add_refusal, over_limit
from trips.reports.days import DAY, day_of
from trips.reports.fare_trial import try_fares

_VERSIONS = 50


class FareForm(forms.ModelForm):
    # What the page showed: as the row was written last.
    shown = forms.CharField(widget=forms.HiddenInput, required=False)

    class Meta:
        model = ServiceSettings
        fields = FARE_FIELDS


# Each prices all trips of a day.
TRIALS_PER_MIN = 20


def change_fares(values: dict[str, Any], shown: str, staff: User) -> bool:
    """Store fares, and in the settings' history from what to what; return whether any is another one.

    `shown`: when the settings had been changed last where the values were entered.

    Raises:
        NotPermitted: auth.forbidden
        Conflict: settings.changed, somebody has changed them meanwhile
    """
    staff.require_staff(CHANGE_FARES)
    return _change_fares(values, shown, staff)


@in_transaction
def _change_fares(values: dict[str, Any], shown: str, staff: User) -> bool:
    ServiceSettings.objects.get_or_create(pk=1)
    stored = ServiceSettings.objects.select_for_update(no_key=True).get(pk=1)
    changed = {name: (getattr(stored, name), value) for name, value in values.items() if getattr(stored, name) != value}
    if not changed:
        return False
    if version_of(stored) != shown:
        raise Conflict("settings.changed", _("Somebody has changed the settings meanwhile. Look at them again."))
    for name, (_before, value) in changed.items():
        setattr(stored, name, value)
    stored.save()
    message: Any = [{"changed": {"fields": sorted(changed)}}]
    message[0][told_changes.VALUES] = told_changes.told_values(ServiceSettings, changed)
    LogEntry.objects.create(
        user_id=staff.pk,
        content_type=ContentType.objects.get_for_model(ServiceSettings),
        object_id="1",
        object_repr="settings",
        action_flag=CHANGE,
        change_message=told_changes.dump(message),
    )
    return True


def version_of(settings: ServiceSettings) -> str:
    """Return what differs after every change; the same for settings that nobody has ever stored."""
    return settings.updated_at.isoformat() if settings.updated_at else ""


@require_http_methods(["GET", "HEAD", "POST"])
@ops_page(FARES)
def fares(request: HttpRequest) -> HttpResponse:
    """Show the fares; try out those that were entered, or store them."""
    user: Any = request.user
    current = ServiceSettings.current()
    if request.method != "POST":
        ServiceSettings.objects.get_or_create(pk=1)
        current = ServiceSettings.current()
        form = FareForm(instance=current, initial={"shown": version_of(current)})
        return _page(request, form)
    form = FareForm(request.POST, instance=current)
    if not form.is_valid():
        return _page(request, form, status=400)
    if "save" in request.POST:
        require_staff_confirmed(request)
        values = {name: form.cleaned_data[name] for name in FARE_FIELDS}
        try:
            change_fares(values, form.cleaned_data["shown"], user)
        except DomainError as error:
            add_refusal(form, error)
            return _page(request, form, status=error.status)
        return HttpResponseRedirect(reverse("ops:fares"))
    try:
        limits.spend("fares_tried", user.pk, most=TRIALS_PER_MIN)
    except TooManyRequests as error:
        return over_limit(request, error)
    return _page(request, form, trial=try_fares(day_of(database_now()) - DAY, form.instance))


def _page(request: HttpRequest, form: FareForm, *, status: int = 200, trial: Any = None) -> HttpResponse:
    context = {"form": form, "trial": trial, "versions": versions()}
    return render(request, "ops/reports/fares.html", context, status=status)


def versions() -> list[tuple[LogEntry, str]]:
    """Return the latest changes of the settings, each with its words in the active language."""
    kind = ContentType.objects.get_for_model(ServiceSettings)
    entries = LogEntry.objects.filter(content_type=kind, action_flag=CHANGE).select_related("user").order_by("-pk")
    return [(entry, told_changes.entry_in_words(entry, ServiceSettings)) for entry in entries[:_VERSIONS]]
