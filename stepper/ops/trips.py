"""The trips of the operations room: their list, the panel of one trip, and what staff do on it."""

import copy
from typing import Any

from django.contrib import messages
from django.db.models import QuerySet
from django.http import Http404, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_safe

from drivers.models import Driver
from stepper.admin import searching
from stepper.audit.looks import looked_at_list
from stepper.errors import DomainError, NotFound
from stepper.models import User
from stepper.ops import actions
from stepper.ops.access import ops_page
from stepper.ops.answers import act_page, done, history_answer, refused
from stepper.ops.driver_list import COLUMNS
from stepper.ops.forms import ActionForm, EditForm, PickForm
from stepper.ops.sections import TRIPS
from stepper.ops.trip_history import read_history
from stepper.ops.trip_list import SHOWN, TripFilter, find_trips
from stepper.ops.trip_panel import TripPanel, read_trail
from stepper.web.refusals import add_refusal
from stepper.web.requests import SignedInRequest
from trips import access, assignment, editing, handover
from trips.attention_words import attention_choices
from trips.candidate_words import candidate_in_words, needs_in_words
from trips.candidates import MOST_SHOWN, find_candidates
from trips.change_views import price_of_change
from trips.models import Trip
from trips.states import HANDED_OVER_IN


def _panel(request: SignedInRequest, trip_id: int) -> TripPanel:
    try:
        panel = TripPanel.of(trip_id, request.user)
    except NotFound as error:
        raise Http404 from error
    # Of those who were asked, and who are around; whoever is on the trip is looked at by name.
    looked_at_list(request, "drivers.driver")
    return panel


@require_safe
@ops_page(TRIPS)
def trips(request: SignedInRequest) -> HttpResponse:
    """Show the list of trips, a page of it."""
    looked_at_list(request, "trips.trip")
    wanted = TripFilter.of(request.GET)
    context = {
        "wanted": wanted,
        "found": find_trips(wanted, request.GET.get("after", "")),
        "statuses": [(name, shown.label) for name, shown in SHOWN.items()],
        "needs": attention_choices(),
        "query": _without(request, "after"),
    }
    template = "ops/trip_rows.html" if request.htmx and "after" in request.GET else "ops/trips.html"
    return render(request, template, context)


def _without(request: SignedInRequest, name: str) -> str:
    query = request.GET.copy()
    query.pop(name, None)
    return query.urlencode()


@require_safe
@ops_page(TRIPS)
def trip(request: SignedInRequest, trip_id: int) -> HttpResponse:
    """Show a trip with all that happened to it."""
    return render(request, "ops/trip.html", {"panel": _panel(request, trip_id)})


@require_safe
@ops_page(TRIPS)
def history(request: SignedInRequest, trip_id: int) -> HttpResponse:
    """Show an earlier page of a trip's history."""
    panel = _panel(request, trip_id)
    return history_answer(request, panel, "trip", lambda before: read_history(panel.trip, request.user, before))


@require_safe
@ops_page(TRIPS)
def trail(request: SignedInRequest, trip_id: int) -> HttpResponse:
    """Send where the vehicles went, for the map and its slider."""
    panel = _panel(request, trip_id)
    return JsonResponse({"zone": panel.trip.timezone, "points": read_trail(panel.trip, request.user)})


# Choosing a driver


@require_http_methods(["GET", "HEAD", "POST"])
@ops_page(TRIPS, actions.STEER, actions.SEE_DRIVERS)
def pick(request: SignedInRequest, trip_id: int) -> HttpResponse:
    """Show the drivers around the pickup with what speaks against each, and give the trip to one."""
    panel = _panel(request, trip_id)
    mode = request.POST.get("mode") or actions.picking(panel.trip) or ""
    if request.method != "POST":
        form = PickForm(mode=mode, initial={"mode": mode, "shown": access.shown_driver(panel.trip)})
        return _pick_page(request, panel, form)
    form = PickForm(request.POST, mode=mode)
    if not form.is_valid():
        return _pick_page(request, panel, form, status=422)
    try:
        _give(panel.trip, request.user, form.cleaned_data)
    except DomainError as error:
        panel = _panel(request, trip_id)
        form = _form_of_now(panel, form)
        add_refusal(form, error)
        return refused(error, _pick_page(request, panel, form, status=error.status))
    return done(request, panel.trip.pk, "trip", _("The trip has its driver."))


def _form_of_now(panel: TripPanel, form: PickForm) -> PickForm:
    """Return the form for what choosing a driver does now, filled as it was sent: the trip may have gone on."""
    mode = actions.picking(panel.trip)
    if mode is None or mode == form.cleaned_data["mode"]:
        return form
    anew = PickForm({**dict(form.data.items()), "mode": mode, "shown": access.shown_driver(panel.trip)}, mode=mode)
    # What it needs besides is not a mistake of who sent the other one.
    anew.is_valid()
    anew.errors.pop("reason", None)
    return anew


def _give(trip: Trip, user: User, chosen: dict[str, Any]) -> None:
    """Call the verb that the page has shown; it refuses where the trip is not there any more."""
    driver_id, reason, shown = chosen["driver"], chosen["reason"], chosen["shown"]
    if chosen["mode"] == actions.Picking.ASSIGN:
        assignment.assign(trip.pk, driver_id, user, reason)
    elif chosen["mode"] == actions.Picking.REASSIGN:
        assignment.reassign(trip.pk, driver_id, user, reason, shown_driver_id=shown)
    else:
        where = {"place": chosen["place"], "part": chosen["part"]}
        handover.hand_over(trip.pk, driver_id, user, reason=reason, shown_driver_id=shown, **where)


def _pick_page(request: SignedInRequest, panel: TripPanel, form: PickForm, *, status: int = 200) -> HttpResponse:
    text = request.GET.get("q", "").strip()[:100]
    found = find_candidates(_from_where_they_wait(panel), _found_by(text)) if panel.picking_title else []
    context = {
        "panel": panel,
        "form": form,
        "query": text,
        "needs": needs_in_words(panel.trip),
        "candidates": [candidate_in_words(one, panel.trip) for one in found],
        "is_cut": len(found) == MOST_SHOWN,
        "chosen": str(form["driver"].value() or ""),
        "work": "ops/pick.html",
    }
    return render(request, "ops/pick.html" if request.htmx else "ops/trip.html", context, status=status)


def _from_where_they_wait(panel: TripPanel) -> Trip:
    """Return the trip as it begins for another driver: with passengers on board where the vehicle was last."""
    trip, position = panel.trip, panel.position
    if trip.status not in HANDED_OVER_IN or position is None:
        return trip
    begun = copy.copy(trip)
    begun.pickup_lat, begun.pickup_lng = position.lat, position.lng
    return begun


def _found_by(text: str) -> QuerySet[Driver] | None:
    """Return the drivers whom a search finds; None: nothing was typed."""
    condition = searching.condition_of(Driver, COLUMNS, text)
    return None if condition is None else Driver.objects.filter(condition)


# Actions


@require_http_methods(["GET", "HEAD", "POST"])
@ops_page(TRIPS, actions.STEER)
def act(request: SignedInRequest, trip_id: int, name: str) -> HttpResponse:
    """Say what an action will do to a trip, and do it."""
    panel = _panel(request, trip_id)
    action = actions.find(actions.TRIP_ACTIONS, name)
    if action is None:
        raise Http404
    trip = panel.trip
    if request.method != "POST":
        form = ActionForm(action, initial={"shown": access.shown_driver(trip)})
        return act_page(request, panel, "trip", action, form)
    form = ActionForm(action, request.POST)
    if not form.is_valid():
        return act_page(request, panel, "trip", action, form, status=422)
    try:
        # The verb does nothing to another driver's trip than was shown; without it, than was read now.
        shown = form.cleaned_data["shown"]
        shown = access.shown_driver(trip) if shown is None else shown
        action.do(trip, request.user, form.cleaned_data.get("reason", ""), shown)
    except DomainError as error:
        panel = _panel(request, trip_id)
        # The page that says so shows the driver of now: pressed again it is meant for them.
        form = ActionForm(action, {**form.cleaned_data, "shown": access.shown_driver(panel.trip)})
        add_refusal(form, error)
        return refused(error, act_page(request, panel, "trip", action, form, status=error.status))
    return done(request, trip.pk, "trip", action.done)


# Editing


@require_http_methods(["GET", "HEAD", "POST"])
@ops_page(TRIPS, actions.STEER)
def edit(request: SignedInRequest, trip_id: int) -> HttpResponse:
    """Show the trip in the booking form with a fare and a reason, and change it."""
    trip = _panel(request, trip_id).trip
    if request.method != "POST":
        return _edit_page(request, trip, EditForm.of(trip))
    form = EditForm(request.POST)
    form.fixed = EditForm.of(trip).fixed
    if not form.is_valid():
        return _edit_page(request, trip, form, status=422)
    entered = form.cleaned_data
    try:
        wanted = {"reason": entered["reason"], "fare": entered["fare"], "version": entered["version"]}
        editing.edit_trip(trip.pk, request.user, form.wanted(trip), **wanted)
    except DomainError as error:
        if error.code == "trip.change_too_late":
            trip = _panel(request, trip_id).trip
            form = form.anew(trip)
        form.refuse(error)
        return refused(error, _edit_page(request, trip, form, status=error.status))
    messages.success(request, _("The trip is changed; passenger and driver are told."))
    return redirect("ops:trip", trip.pk)


def _edit_page(request: SignedInRequest, trip: Trip, form: EditForm, *, status: int = 200) -> HttpResponse:
    limit = editing.limit_in_words(trip) if form.fixed else ""
    context = {"trip": trip, "form": form, "limit": limit, **price_of_change(request, trip, form)}
    return render(request, "ops/edit.html", context, status=status)
