"""The passengers' pages: my trips, the trip page and what can be done on it. Booking: booking_pages.py."""

from collections.abc import Callable

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.paginator import Page, Paginator
from django.db.models import QuerySet
from django.forms import Form
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from stepper.errors import DomainError, InvalidInput, NotFound, TooManyRequests
from stepper.models import User
from stepper.web.refusals import with_retry_after
from stepper.web.requests import SignedInRequest
from trips import access, assignment, bookings, unfilled

from .forms import CancelForm, PostponeForm, RatingForm, WidenForm
from .models import Trip
from .panel import Panel
from .share_views import share_context
from .states import FINISHED

PAST_PER_PAGE = 10
ACTIVE_SHOWN = 50


def active_trips(user: User) -> QuerySet[Trip]:
    """Return the unfinished trips that somebody booked or has seats on, the next departure first."""
    return access.list_booked_by(user).for_page().unfinished().order_by("departure_at", "pk")[:ACTIVE_SHOWN]


def past_trips(user: User, page: str | int | None) -> Page[Trip]:
    """Return a page of the finished trips that somebody booked or had seats on, the latest first."""
    finished = access.list_booked_by(user).for_page().filter(status__in=FINISHED).order_by("-departure_at", "-pk")
    return Paginator(finished, PAST_PER_PAGE).get_page(page)


def panel_for(request: SignedInRequest, trip_id: int) -> Panel:
    """Return the panel of a trip that this user may see. Raises Http404 for somebody else's."""
    try:
        return Panel(access.trip_for(request.user, trip_id), request.user)
    except NotFound as error:
        raise Http404 from error


@never_cache
@require_safe
@login_required
def trips(request: SignedInRequest) -> HttpResponse:
    context = {
        "active": list(active_trips(request.user)),
        "past": past_trips(request.user, request.GET.get("page")),
    }
    return render(request, "trips/list.html", context)


@never_cache
@require_safe
@login_required
def detail(request: SignedInRequest, trip_id: int) -> HttpResponse:
    panel = panel_for(request, trip_id)
    context = {"panel": panel, "rating_form": RatingForm.of(panel.actions.my_rating)}
    return render(request, "trips/detail.html", {**context, **share_context(request.user, panel.trip)})


def _changed_response(request: HttpRequest, panel: Panel) -> HttpResponse:
    """Answer a change with the new panel on the open page, or with a redirect to it."""
    if not request.htmx:  # type: ignore[attr-defined]
        return redirect("trips:detail", panel.trip.pk)
    response = render(
        request, "trips/changed.html", {"panel": panel, "rating_form": RatingForm.of(panel.actions.my_rating)}
    )
    # A form of the panel's says so itself: the socket may have replaced the panel, and the form in it, by now.
    if request.htmx.target != "trip-panel":  # type: ignore[attr-defined]
        response["HX-Retarget"] = "#trip-panel"
        response["HX-Reswap"] = "outerHTML"
    response["HX-Trigger"] = "stepper:done"
    return response


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@login_required
def cancel(request: SignedInRequest, trip_id: int) -> HttpResponse:
    """Show what cancelling will do, and cancel. Cancelling twice gives the same answer."""
    panel = panel_for(request, trip_id)
    form = CancelForm(request.POST if request.method == "POST" else None)
    refusal: DomainError | None = None
    if request.method == "POST" and form.is_valid():
        try:
            bookings.cancel(trip_id, request.user, form.cleaned_data["reason"])
        except DomainError as error:
            form.add_error(None, str(error.message))
            refusal = error
        else:
            return _changed_response(request, panel_for(request, trip_id))
    template = "trips/cancel_form.html" if request.htmx else "trips/cancel.html"
    response = render(request, template, {"panel": panel, "form": form}, status=409 if form.errors else 200)
    return with_retry_after(response, refusal)


@require_POST
@login_required
def rate(request: SignedInRequest, trip_id: int) -> HttpResponse:
    """Rate the other side with one to five stars, or change what was given."""
    panel = panel_for(request, trip_id)
    form = RatingForm(request.POST)
    status = 422
    if form.is_valid():
        try:
            bookings.rate(trip_id, request.user, stars=form.cleaned_data["stars"], comment=form.cleaned_data["comment"])
        except TooManyRequests:
            raise
        except DomainError as error:
            if request.htmx and error.code == "rating.already_given":
                # On another device: the form is gone, or about to go.
                messages.error(request, str(error.message))
                return _changed_response(request, panel_for(request, trip_id))
            form.add_error(None, str(error.message))
            status = error.status
        else:
            return _changed_response(request, panel_for(request, trip_id))
    template = "trips/rating.html" if request.htmx else "trips/detail.html"
    response = render(request, template, {"panel": panel, "rating_form": form}, status=status)
    # Not the other way round: the event of a rating may have replaced the panel and this form before the answer comes.
    response["HX-Retarget"] = "#rating-form"
    return response


@require_POST
@login_required
def offer_again(request: SignedInRequest, trip_id: int) -> HttpResponse:
    """Start the next round now."""
    panel_for(request, trip_id)
    try:
        result = assignment.offer_again(trip_id, request.user)
    except TooManyRequests:
        raise
    except DomainError as error:
        messages.error(request, str(error.message))
    else:
        if not result.drivers_notified:
            messages.info(request, _("Nobody nearby is free at this moment. We keep looking."))
    return _changed_response(request, panel_for(request, trip_id))


def _change_search(request: SignedInRequest, trip_id: int, *, form: Form, verb: Callable[..., Trip]) -> HttpResponse:
    """Call a verb with the form's values and show the page; a refusal becomes a message on it."""
    panel_for(request, trip_id)
    try:
        if not form.is_valid():
            raise InvalidInput("input.invalid", _("Please choose again."))
        verb(trip_id, request.user, **form.cleaned_data)
    except TooManyRequests:
        raise
    except DomainError as error:
        messages.error(request, " ".join(error.reasons))
    return _changed_response(request, panel_for(request, trip_id))


@require_POST
@login_required
def widen(request: SignedInRequest, trip_id: int) -> HttpResponse:
    """Search drivers farther away."""
    return _change_search(request, trip_id, form=WidenForm(request.POST), verb=unfilled.widen)


@require_POST
@login_required
def postpone(request: SignedInRequest, trip_id: int) -> HttpResponse:
    """Postpone the trip."""
    return _change_search(request, trip_id, form=PostponeForm(request.POST), verb=unfilled.postpone)
