"""The room itself: the live map of drivers and trips, what needs a person, and search."""

import re
from typing import Any

from django import forms
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_POST, require_safe

from drivers.models import Driver
from stepper.audit.looks import looked_at, looked_at_list
from stepper.errors import DomainError
from stepper.ops.access import ops_page
from stepper.ops.finding import find
from stepper.ops.sections import ROOM, may_open, sections_of
from trips.access import log_look
from trips.models import Trip
from trips.room import claims, in_view, queue
from trips.room.picture import COUNTERS
from trips.states import TripStatus

# The words of the counters and of the map; a state of trips is called as on the trip's own page.
LABELS = {
    "online": gettext_lazy("Online"),
    "on_trip": gettext_lazy("On a trip"),
    "on_break": gettext_lazy("On a break"),
    "looking": TripStatus.OFFERED.label,
    "unfilled": TripStatus.UNFILLED.label,
    "waiting": gettext_lazy("Waiting long"),
    "taken": gettext_lazy("Driver found"),
    "coming": gettext_lazy("Driver coming"),
    "aboard": gettext_lazy("On board"),
}


class BoxForm(forms.Form):
    """A part of the map, in degrees."""

    south = forms.FloatField(min_value=-90, max_value=90)
    west = forms.FloatField(min_value=-180, max_value=180)
    north = forms.FloatField(min_value=-90, max_value=90)
    east = forms.FloatField(min_value=-180, max_value=180)


# Bigger than any key is nobody's.
_KEY = re.compile(r"[0-9]{1,18}")


@require_safe
@login_required
def show(request: HttpRequest) -> HttpResponseBase:
    """Show the room; staff who may open other sections only are led to the first of them."""
    user: Any = request.user
    others = sections_of(user)
    if others and not may_open(user, ROOM):
        return redirect(others[0].url_name)
    return _show(request)


@ops_page(ROOM)
def _show(request: HttpRequest) -> HttpResponseBase:
    labels = [(name, LABELS[name]) for name in COUNTERS]
    box = in_view.bounds()
    bounds = ",".join(f"{degrees:.4f}" for degrees in box) if box else ""
    return render(
        request, "ops/room.html", {"counters": labels, "names": LABELS, "bounds": bounds, **_queue_context(request)}
    )


@require_safe
@ops_page(ROOM)
def show_queue(request: HttpRequest) -> HttpResponse:
    """Draw the queue, which the page fetches when a frame says that it is another one."""
    return _render_queue(request)


@require_POST
@ops_page(ROOM)
def claim(request: HttpRequest, subject: str, row_id: int) -> HttpResponse:
    """Claim a matter, or release it; answer with the queue as it is then, and why not where it was refused."""
    user: Any = request.user
    refused = None
    holder = request.POST.get("instead_of", "")
    try:
        if request.POST.get("action") == "release":
            claims.release(subject, row_id, user)
        else:
            claims.claim(subject, row_id, user, instead_of=int(holder) if _KEY.fullmatch(holder) else None)
    except DomainError as error:
        refused = error
    return _render_queue(request, refused)


@require_safe
@ops_page(ROOM)
def search(request: HttpRequest) -> HttpResponse:
    """List what is found by what was typed."""
    user: Any = request.user
    term = request.GET.get("q", "").strip()
    if term:
        looked_at_list(request, "stepper.user")
    return render(request, "ops/found.html", {"found": find(term, user), "term": term})


@require_safe
@ops_page(ROOM)
def list_in_view(request: HttpRequest) -> HttpResponse:
    """List the drivers and trips of a part of the map: what the map shows, in words."""
    form = BoxForm(request.GET)
    if not form.is_valid():
        raise Http404
    looked_at_list(request, "drivers.driver")
    return render(request, "ops/in_view.html", {"shown": in_view.read(**form.cleaned_data)})


@require_safe
@ops_page(ROOM)
def show_driver(request: HttpRequest, driver_id: int) -> HttpResponse:
    """Say who a driver on the map is."""
    driver = get_object_or_404(Driver.objects.select_related("user", "vehicle", "position"), pk=driver_id)
    looked_at(request, [driver.user_id], "drivers.driver", driver.pk)
    return render(request, "ops/map_driver.html", {"driver": driver})


@require_safe
@ops_page(ROOM)
def show_trip(request: HttpRequest, trip_id: int) -> HttpResponse:
    """Say which trip one on the map is."""
    trip = get_object_or_404(Trip.objects.select_related("organiser", "driver__user"), pk=trip_id)
    user: Any = request.user
    log_look(user, trip)
    return render(request, "ops/map_trip.html", {"trip": trip})


def _render_queue(request: HttpRequest, refused: DomainError | None = None) -> HttpResponse:
    status = refused.status if refused else 200
    return render(request, "ops/queue.html", {**_queue_context(request), "refused": refused}, status=status)


def _queue_context(request: HttpRequest) -> dict[str, Any]:
    user: Any = request.user
    items = queue.read_queue()
    return {
        "items": items,
        "may_claim": {subject for subject in claims.PERMISSIONS if claims.may_claim(user, subject)},
    }
