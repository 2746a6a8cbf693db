"""Staff's actions on who drives a trip: assign a driver, move it to another one, take it off.

The page of one trip shows the drivers around its pickup with what speaks against each; the verbs decide.
"""

from typing import Any

from django import forms
from django.contrib.admin import site
from django.http import HttpRequest
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.enums import ActionVariant
from unfold.widgets import UnfoldAdminTextInputWidget

from drivers.models import Driver
from stepper.admin.base import RowPage, StaffAdmin, staff_action
from stepper.admin.choosing import choose_by_search
from stepper.db.clock import database_now
from stepper.models import User
from stepper.templatetags.units import when_in_words
from stepper.texts import PlainTextInput
from trips import assignment
from trips.candidate_words import candidate_in_words, needs_in_words, take_off_effect
from trips.candidates import MOST_SHOWN, find_candidates
from trips.models import Trip


class AssignForm(forms.Form):
    driver = forms.ModelChoiceField(
        queryset=Driver.objects.select_related("user"),
        label=gettext_lazy("Driver"),
        help_text=gettext_lazy("Approved drivers with a vehicle; search by name, phone or plate."),
        error_messages={"required": gettext_lazy("Choose a driver.")},
    )
    reason = PlainTextInput(
        label=gettext_lazy("Reason"),
        max_length=200,
        required=False,
        help_text=gettext_lazy("Needed where something speaks against the driver. Staff alone read it."),
        widget=UnfoldAdminTextInputWidget,
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        choose_by_search(self, "driver", Trip._meta.get_field("driver"))


class ReassignForm(AssignForm):
    # Who had the trip when the page was shown (trips.assignment).
    shown = forms.IntegerField(required=False, widget=forms.HiddenInput)


class TakeOffForm(forms.Form):
    reason = PlainTextInput(
        label=gettext_lazy("Reason"),
        max_length=200,
        required=False,
        help_text=gettext_lazy("The driver reads it."),
        widget=UnfoldAdminTextInputWidget,
    )


def _candidates_context(page: StaffAdmin, request: HttpRequest, trip: Trip) -> dict[str, Any]:
    """Return the drivers to choose from: the nearest, or those that `?q=` finds, as the list of drivers finds them."""
    text = request.GET.get("q", "").strip()
    among = None
    if text:
        drivers = site.get_model_admin(Driver)
        among, _may_repeat = drivers.get_search_results(request, Driver.objects.all(), text)
        among = Driver.objects.filter(pk__in=among.order_by().values("pk"))
    found = find_candidates(trip, among)
    return {
        "trip": trip,
        "query": text,
        "candidates": [candidate_in_words(one, trip) for one in found],
        "is_cut": len(found) == MOST_SHOWN,
        "chosen": request.POST.get("driver", ""),
        # A page that was shown once stays with whom it showed.
        "shown": request.POST.get("shown", trip.driver_id or ""),
        "about": needs_in_words(trip),
    }


CANDIDATES = RowPage(template="admin/assign.html", context=_candidates_context)


class AssigningActions:
    """The actions, for the administration of trips."""

    @staff_action(
        gettext_lazy("Assign a driver"),
        done=gettext_lazy("assigned"),
        effect=gettext_lazy("The driver gets the trip without being asked; open offers are withdrawn."),
        icon="person_add",
        variant=ActionVariant.PRIMARY,
        form=AssignForm,
        permission="assign",
        page=CANDIDATES,
    )
    def assign(self, trip_id: int, user: User, driver: Driver, reason: str) -> None:
        assignment.assign(trip_id, driver.pk, user, reason)

    @staff_action(
        gettext_lazy("Move to another driver"),
        done=gettext_lazy("moved to another driver"),
        effect=gettext_lazy(
            "The other driver gets the trip without being asked, and nobody else is. Both drivers and the passenger "
            "are told. It counts against nobody."
        ),
        icon="swap_horiz",
        form=ReassignForm,
        permission="assign",
        page=CANDIDATES,
        mark="reassign",
    )
    def reassign(self, trip_id: int, user: User, *, driver: Driver, reason: str, shown: int | None) -> None:
        assignment.reassign(trip_id, driver.pk, user, reason, shown_driver_id=shown)

    @staff_action(
        gettext_lazy("Take off the driver"),
        done=gettext_lazy("taken off the driver"),
        effect=take_off_effect,
        icon="person_remove",
        variant=ActionVariant.DANGER,
        form=TakeOffForm,
    )
    def take_off(self, trip_id: int, user: User, reason: str) -> str | None:
        trip = assignment.take_off(trip_id, user, reason)
        if trip.next_look_at is None or trip.next_look_at <= database_now():
            return None
        return _("drivers are asked from %(when)s") % {"when": when_in_words(trip.next_look_at, trip.timezone)}
