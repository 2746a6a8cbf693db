"""Changing a booked trip, on a page: in the booking form, or after a driver accepted the words that they read alone.

And the trip as a file for calendars.
"""

import contextlib
from collections.abc import Mapping
from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from stepper.errors import DomainError, InvalidInput, NotFound
from stepper.web.downloads import file_response
from stepper.web.refusals import add_refusal, with_retry_after
from stepper.web.requests import SignedInRequest

from . import changes, shares
from .booking_pages import price_context, searcher_of
from .calendar_file import write_calendar
from .change_forms import ChangeForm, DetailsForm
from .models import Trip
from .panel import Panel
from .states import BEFORE_BOARDING, OPEN
from .views import panel_for

# The form that was sent is of no more use: it is drawn anew, as the trip is now.
_OUTDATED = frozenset(
    {"trip.already_accepted", "trip.changed_meanwhile", "trip.change_too_late", "trip.transition_refused"}
)


def _own_panel(request: SignedInRequest, trip_id: int) -> Panel:
    """Return the panel of a trip that this user may change: whoever else sees it is forbidden to."""
    panel = panel_for(request, trip_id)
    if not panel.viewing.may_manage:
        raise PermissionDenied
    return panel


def _form_of(trip: Trip, typed: Mapping[str, str] | None = None) -> ChangeForm | DetailsForm | None:
    """Return the form for what can change of the trip now; None: nothing.

    `typed`: what was sent in a form that is outdated. Its words to the driver stay in the new one.
    """
    if trip.status in OPEN:
        return ChangeForm.of(trip, typed)
    return DetailsForm.of(trip, typed) if trip.status in BEFORE_BOARDING else None


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@login_required
def change(request: SignedInRequest, trip_id: int) -> HttpResponse:
    """Show what can be changed of a trip with what it costs then, and change it."""
    trip = _own_panel(request, trip_id).trip
    if request.method != "POST":
        return _page(request, trip, _form_of(trip))
    form = (
        ChangeForm(request.POST, searcher=searcher_of(request))
        if "departure" in request.POST
        else DetailsForm(request.POST)
    )
    if not form.is_valid():
        refusal = form.search_refusal if isinstance(form, ChangeForm) else None
        return with_retry_after(_page(request, trip, form, status=422), refusal)
    try:
        seen = {"version": form.cleaned_data["version"], "quote_token": form.cleaned_data.get("quote", "")}
        changes.change(trip.pk, request.user, form.wanted(trip), **seen)
    except DomainError as error:
        if error.code in _OUTDATED:
            trip = _own_panel(request, trip_id).trip
            return _page(request, trip, _form_of(trip, request.POST), refusal=error, status=error.status)
        _refuse(form, error)
        return with_retry_after(_page(request, trip, form, status=422), error)
    messages.success(request, _("The trip is as you want it now."))
    return redirect("trips:detail", trip.pk)


def _refuse(form: ChangeForm | DetailsForm, error: DomainError) -> None:
    if isinstance(form, ChangeForm):
        form.refuse(error)
    else:
        add_refusal(form, error)


def _page(
    request: SignedInRequest,
    trip: Trip,
    form: ChangeForm | DetailsForm | None,
    *,
    refusal: DomainError | None = None,
    status: int = 200,
) -> HttpResponse:
    context: dict[str, Any] = {"trip": trip, "form": form, "outdated": refusal}
    template = "trips/change_details.html"
    if isinstance(form, ChangeForm):
        template = "trips/change.html"
        context |= price_of_change(request, trip, form)
        context["traveller_link"] = shares.link_for_traveller(request.user).value
    return render(request, template, context, status=status)


def price_of_change(request: SignedInRequest, trip: Trip, form: ChangeForm) -> dict[str, Any]:
    """Return what the booking form's templates show of prices, and what the change does to the trip's."""
    context = price_context(request, form) | {"has_driver": trip.driver_id is not None}
    if "quotes" in context and form.is_valid():
        with contextlib.suppress(InvalidInput):  # said at its field
            context["price_change"] = changes.find_price(trip, form.wanted(trip))
    return context


@never_cache
@require_POST
@login_required
def quote(request: SignedInRequest, trip_id: int) -> HttpResponse:
    """Show the prices of what the form has so far, beside the trip's; nothing is changed."""
    trip = _own_panel(request, trip_id).trip
    form = ChangeForm(request.POST, searcher=searcher_of(request))
    context = {"quote_alone": True, **price_of_change(request, trip, form)}
    return with_retry_after(render(request, "trips/quote.html", context), context.get("refusal"))


@never_cache
@require_safe
@login_required
def calendar(request: SignedInRequest, trip_id: int) -> HttpResponse:
    """Send a trip for later as a file for calendars."""
    link = request.build_absolute_uri(reverse("trips:detail", args=[trip_id]))
    try:
        return file_response(write_calendar(request.user, trip_id, link=link))
    except NotFound as error:
        raise Http404 from error
