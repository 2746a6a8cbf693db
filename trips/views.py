"""The passengers' pages: my trips, the trip page and what can be done on it. Booking: booking_pages.py."""

from collections.abc import Callable

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.paginator import Page, Paginator
from django.db.models import Q
from django.forms import Form
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import pgettext_lazy
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from drivers import documents
from stepper.db.keyset import ListPage, page_by_instant
from stepper.errors import DomainError, InvalidInput, NotFound, Text, TooManyRequests
from stepper.models import User
from stepper.web.refusals import add_refusal, tell, with_retry_after
from stepper.web.requests import SignedInRequest
from trips import access, assignment, bookings, ratings, unfilled
from trips import messages as trip_messages

from .forms import CancelForm, PostponeForm, RatingForm, WidenForm
from .message_views import safety_context
from .models import Trip
from .panel import Panel
from .share_views import share_context
from .states import DRIVING, FINISHED, TripStatus

PAST_PER_PAGE = 10
ACTIVE_PER_PAGE = 50


def active_trips(user: User, after: str = "") -> ListPage:
    """Return a page of the unfinished trips that somebody booked or has seats on, the next departure first.

    `after`: the `more` of the page before; "": the first page.
    """
    active = access.list_booked_by(user).for_page().unfinished()
    return page_by_instant(active, "departure_at", after, latest_first=False, size=ACTIVE_PER_PAGE)


def trip_at_hand(user: User) -> Trip | None:
    """Return the trip that its passenger wants to see now: one for now, or whose driver is on the way; None: none."""
    at_hand = Q(is_now=True) | Q(status__in=sorted(DRIVING))
    mine = access.list_booked_by(user).unfinished().exclude(status=TripStatus.DRAFT)
    return mine.filter(at_hand).order_by("departure_at", "pk").first()


# Which past trips are shown, by the name in the address.
PAST_FILTERS: dict[str, Text] = {
    "": pgettext_lazy("past trips", "All"),
    "completed": pgettext_lazy("past trips", "Completed"),
    "cancelled": pgettext_lazy("past trips", "Cancelled"),
    "booked": pgettext_lazy("past trips", "Booked by me"),
}


def past_trips(user: User, page: str | int | None, shown: str = "") -> Page[Trip]:
    """Return a page of the finished trips that somebody booked or had seats on, the latest first.

    `shown`: one of PAST_FILTERS.
    """
    finished = access.list_booked_by(user).for_page().filter(status__in=FINISHED).order_by("-departure_at", "-pk")
    if shown in ("completed", "cancelled"):
        finished = finished.filter(status=shown)
    elif shown == "booked":
        finished = finished.filter(organiser=user)
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
    """Show my trips: those ahead, and the past ones page by page, all or some of them."""
    shown = request.GET.get("show", "")
    if shown not in PAST_FILTERS:
        shown = ""
    after = request.GET.get("after", "")
    return render(request, "trips/list.html", list_context(request.user, request.GET.get("page"), shown, after))


def list_context(user: User, page: str | int | None, shown: str = "", after: str = "") -> dict[str, object]:
    """Return what the regions of "my trips" read. `shown`: one of PAST_FILTERS; `after`: as for `active_trips`."""
    active = active_trips(user, after)
    if after and not active.rows:
        # The last of them were driven or cancelled meanwhile.
        active, after = active_trips(user), ""
    past = past_trips(user, page, shown)
    past.object_list = list(past.object_list)
    trip_messages.set_unread(user, [*active.rows, *past.object_list])
    return {
        "active": active.rows,
        "more": active.more,
        "after": after,
        "past": past,
        "shown": shown,
        "filters": PAST_FILTERS,
    }


@never_cache
@require_safe
@login_required
def detail(request: SignedInRequest, trip_id: int) -> HttpResponse:
    panel = panel_for(request, trip_id)
    form = RatingForm.of(panel.actions.my_rating, **panel.actions.rating_choices)
    return render(request, "trips/detail.html", _page_context(request, panel, form))


def _page_context(request: SignedInRequest, panel: Panel, rating_form: RatingForm) -> dict[str, object]:
    context: dict[str, object] = {"panel": panel, "rating_form": rating_form}
    viewer, settings = request.user, panel.viewing.settings
    return context | share_context(viewer, panel.trip) | safety_context(viewer, panel.trip, settings)


def _changed_response(request: HttpRequest, panel: Panel) -> HttpResponse:
    """Answer a change with the new panel on the open page, or with a redirect to it."""
    if not request.htmx:  # type: ignore[attr-defined]
        return redirect("trips:detail", panel.trip.pk)
    response = render(
        request,
        "trips/changed.html",
        {"panel": panel, "rating_form": RatingForm.of(panel.actions.my_rating, **panel.actions.rating_choices)},
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
            bookings.cancel(trip_id, request.user, **form.cleaned_data)
        except DomainError as error:
            add_refusal(form, error)
            refusal = error
        else:
            return _changed_response(request, panel_for(request, trip_id))
    template = "trips/cancel_form.html" if request.htmx else "trips/cancel.html"
    response = render(request, template, {"panel": panel, "form": form}, status=409 if form.errors else 200)
    return with_retry_after(response, refusal)


@never_cache
@require_safe
@login_required
def driver_photo(request: SignedInRequest, trip_id: int, photo_id: int) -> HttpResponse:
    """Answer the photo of the trip's driver, while they have the trip. The address is another one for a newer photo."""
    if panel_for(request, trip_id).viewing.photo_id != photo_id:
        raise Http404
    try:
        picture = documents.portrait_of(photo_id)
    except NotFound as error:
        raise Http404 from error
    return HttpResponse(picture, content_type="image/jpeg")


@require_POST
@login_required
def rate(request: SignedInRequest, trip_id: int) -> HttpResponse:
    """Rate the other side with one to five stars, or change what was given."""
    panel = panel_for(request, trip_id)
    form = RatingForm(request.POST, **panel.actions.rating_choices)
    status = 422
    if form.is_valid():
        try:
            ratings.rate(trip_id, request.user, **form.given())
        except TooManyRequests:
            raise
        except DomainError as error:
            if form.cleaned_data["driver"] or (request.htmx and error.code == "rating.already_given"):
                # On another device: the form is gone, or about to go. A form of stars alone has no place for words.
                tell(request, error)
                return _changed_response(request, panel_for(request, trip_id))
            add_refusal(form, error)
            status = error.status
        else:
            return _changed_response(request, panel_for(request, trip_id))
    template = "trips/rating.html" if request.htmx else "trips/detail.html"
    context = {"panel": panel, "rating_form": form} if request.htmx else _page_context(request, panel, form)
    response = render(request, template, context, status=status)
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
        tell(request, error)
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
        tell(request, error)
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
