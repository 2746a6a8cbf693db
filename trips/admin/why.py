"""The page "Why not?" of a trip and of a driver: why a driver did not get a trip.

The actions that lead here check who may read it (`has_why_permission`).
"""

from collections.abc import Iterable
from typing import Any

from django import forms
from django.contrib.admin.utils import unquote
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.widgets import UnfoldAdminIntegerFieldWidget

from drivers.models import Driver
from stepper.admin.base import StaffAdmin, format_instant
from stepper.admin.choosing import choose_by_search
from stepper.templatetags.units import km
from trips import explain
from trips.admin.drivers_of_trip import AssignmentWords
from trips.history_words import end_in_words, round_in_words
from trips.models import DispatchRound, Offer, StaffAssignment, Trip

# Waves shown on a trip's page, the newest; each may have considered hundreds of drivers.
ROUNDS_SHOWN, DRIVERS_SHOWN = 20, 200


class DriverForm(forms.Form):
    driver = forms.ModelChoiceField(
        queryset=Driver.objects.select_related("user"),
        label=gettext_lazy("Driver"),
        help_text=gettext_lazy("Search by name, phone or plate."),
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # By the offer's driver: the trip's own lists only whom it can be assigned to.
        choose_by_search(self, "driver", Offer._meta.get_field("driver"))


class TripForm(forms.Form):
    trip = forms.ModelChoiceField(
        queryset=Trip.objects.all(),
        label=gettext_lazy("Trip number"),
        widget=UnfoldAdminIntegerFieldWidget,
        error_messages={"invalid_choice": gettext_lazy("There is no such trip.")},
    )


def of_trip(page: StaffAdmin, request: HttpRequest, object_id: str) -> HttpResponse:
    """Show whom each wave considered and what became of them; `?driver=`: one driver, in every wave and now."""
    trip = page.get_object(request, unquote(object_id))
    if trip is None:
        raise Http404
    form = DriverForm(request.GET if "driver" in request.GET else None)
    answer = _answer(trip, form.cleaned_data["driver"]) if form.is_bound and form.is_valid() else None
    assignments = answer["assignments"] if answer else explain.staff_assignments(trip)
    return _render(page, request, trip, form, answer, [] if answer else _round_tables(trip), assignments)


def of_driver(page: StaffAdmin, request: HttpRequest, object_id: str) -> HttpResponse:
    """Show why this driver did not get the trip of `?trip=`, in every wave and now."""
    driver = page.get_object(request, unquote(object_id))
    if driver is None:
        raise Http404
    form = TripForm(request.GET if "trip" in request.GET else None)
    answer = _answer(form.cleaned_data["trip"], driver) if form.is_bound and form.is_valid() else None
    return _render(page, request, driver, form, answer, [], answer["assignments"] if answer else [])


def _render(
    page: StaffAdmin,
    request: HttpRequest,
    row: Any,
    form: forms.Form,
    answer: dict[str, Any] | None,
    rounds: list[Any],
    assignments: Iterable[StaffAssignment],
) -> HttpResponse:
    context = {
        **page.admin_site.each_context(request),
        "opts": page.opts,
        "title": _("Why not?"),
        "subtitle": str(row),
        "row": row,
        "form": form,
        "answer": answer,
        "rounds": rounds,
        "assignments": _assignments_table(assignments),
        "media": page.media + form.media,
        "back": reverse(f"admin:{page.opts.app_label}_{page.opts.model_name}_change", args=[row.pk]),
    }
    return TemplateResponse(request, "admin/why.html", context)


def _link(row: Trip | Driver) -> SafeString:
    url = reverse(f"admin:{row._meta.app_label}_{row._meta.model_name}_change", args=[row.pk])
    return format_html('<a class="text-link" href="{}">{}</a>', url, row)


def _cells(verdict: explain.Verdict) -> list[Any]:
    offer = verdict.offer
    words = explain.outcome(verdict)
    if offer is not None and (offer.reason or offer.released_at):
        words = f"{words} ({end_in_words(offer)})"
    score = explain.parts_in_words(offer.score_parts) if offer is not None else ""
    ranked = "–" if verdict.score is None else f"{verdict.score:.2f}"
    return ["–" if verdict.km is None else km(verdict.km), f"{ranked} ({score})" if score else ranked, words]


def _round_tables(trip: Trip) -> list[dict[str, Any]]:
    """Return each wave as a heading and a table."""
    shown = [(row, verdicts[:DRIVERS_SHOWN]) for row, verdicts in explain.latest_rounds(trip, ROUNDS_SHOWN)]
    driver_ids = {one.driver_id for _row, verdicts in shown for one in verdicts}
    drivers = Driver.objects.select_related("user").in_bulk(driver_ids)
    headers = [_("Driver"), _("Away"), _("Rank, km"), _("Outcome")]
    return [
        {
            "title": f"{_when(row)}: {round_in_words(row)}",
            "table": {
                "headers": headers,
                "rows": [[_link(drivers[one.driver_id]), *_cells(one)] for one in verdicts if one.driver_id in drivers],
            },
        }
        for row, verdicts in shown
    ]


def _assignments_table(assignments: Iterable[StaffAssignment]) -> dict[str, Any]:
    """Return what staff did about who drives the trip, as a table."""
    words = AssignmentWords()
    return {
        "headers": [_("Driver"), _("Assigned"), _("Why"), _("Taken off"), _("Why taken off")],
        "rows": [
            [_link(row.driver), words.given(row), words.why(row), words.ended(row), words.end_why(row)]
            for row in assignments
        ],
    }


def _when(row: DispatchRound) -> str:
    values = {"round": row.number, "wave": row.wave, "at": format_instant(row.created_at)}
    return _("%(at)s, round %(round)d, wave %(wave)d") % values


def _answer(trip: Trip, driver: Driver) -> dict[str, Any]:
    found = explain.explain_driver(trip, driver)
    return {
        "trip": _link(trip),
        "driver": _link(driver),
        "has_it": trip.driver_id == driver.pk,
        "taken_by": _link(trip.driver) if trip.driver and trip.driver_id != driver.pk else None,
        "status": trip.get_status_display(),
        "now": None if found.now is None else _codes_in_words(found.now),
        "away": None if found.km is None else km(found.km),
        "assignments": found.assignments,
        "table": {
            "headers": [_("Wave"), _("Away"), _("Rank, km"), _("Outcome")],
            "rows": [[_when(one.round), *_cells(one)] for one in found.verdicts],
        },
    }


def _codes_in_words(codes: Iterable[str]) -> list[tuple[str, str]]:
    return [(code, str(explain.CODES.get(code, code))) for code in codes]
