"""The driver's dashboard and its buttons.

One page with three tabs, all kept up to date by the socket, so that switching needs no request; without scripts the
tabs are links. Every button posts to one view, which calls one domain function. The response is fragments for htmx
(refusals: 409 with the reason, which static/js/htmx-config.js swaps in) and a redirect otherwise.
"""

from collections.abc import Callable, Iterable
from functools import partial, wraps
from typing import Concatenate, ParamSpec, cast

from django import forms
from django.conf import settings
from django.contrib import messages
from django.contrib.auth.views import redirect_to_login
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render, resolve_url
from django.urls import reverse
from django.utils.translation import get_language, gettext_lazy
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_POST
from django.views.decorators.vary import vary_on_headers
from django_htmx.http import HttpResponseClientRedirect, trigger_client_event

from drivers import availability, fragments, working_time
from realtime import events, groups
from realtime.drawings import DrawingKey, change_of, draw_once
from realtime.models import Event
from realtime.outbox import committed_events, is_latest
from stepper.db.prepared import PreparedQuery
from stepper.errors import DomainError, InvalidFields, InvalidInput, NotFound, Text, TooManyRequests
from stepper.monitoring import log_ids
from stepper.monitoring.figures import count_refusal
from stepper.web.refusals import add_refusal, over_limit
from stepper.web.requests import SignedInRequest
from trips import accepting, driving, ratings
from trips.states import DeclineReason

from .board import Board
from .forms import BreakForm, FiltersForm, HoursForm, StarsForm, StatusForm
from .history import read_history
from .models import Driver

TABS = ("offers", "active", "history")
# The regions of each tab; the figures at the top belong to all of them.
REGIONS = {
    "offers": ("availability", "notice", "working_time", "offers", "offers_empty"),
    "active": ("active", "upcoming"),
    "history": ("stats", "history"),
}
_Args = ParamSpec("_Args")


_driver_of = PreparedQuery(
    lambda user_id: Driver.objects.select_related("user", "vehicle", "position").filter(user=user_id)
)


def driver_required(
    view: Callable[Concatenate[SignedInRequest, Driver, _Args], HttpResponse],
) -> Callable[Concatenate[HttpRequest, _Args], HttpResponse]:
    """Pass the signed-in user's driver row to the view; others get the sign-in page, or a 403 page if no driver."""

    @wraps(view)
    def guarded(plain: HttpRequest, *args: _Args.args, **kwargs: _Args.kwargs) -> HttpResponse:
        if not plain.user.is_authenticated:
            login = f"{resolve_url(settings.LOGIN_URL)}?next={reverse('drivers:dashboard')}"
            return (
                HttpResponseClientRedirect(login)
                if plain.headers.get("HX-Request")
                else redirect_to_login(plain.get_full_path())
            )
        request = cast("SignedInRequest", plain)
        driver = _driver_of.first(request.user.pk)
        if driver is None:
            return render(request, "drivers/not_a_driver.html", status=403)
        log_ids.note(driver_id=driver.pk)
        if request.method == "POST":
            working_time.record_activity(driver.pk)
        return view(request, driver, *args, **kwargs)

    return cast("Callable[Concatenate[HttpRequest, _Args], HttpResponse]", guarded)


def _fragment_response(request: SignedInRequest, fragment: str, tab: str) -> HttpResponse:
    """Respond with the fragment to htmx, and with a redirect to the tab to a plain form."""
    if request.htmx:
        return HttpResponse(fragment)
    return redirect("drivers:tab", tab)


def _refusal_response(request: SignedInRequest, error: DomainError, *, fragment: str, tab: str) -> HttpResponse:
    """Respond to a refused action: 409 with the fragment to htmx, else a message and a redirect; 429 over a limit."""
    count_refusal(error)
    if isinstance(error, TooManyRequests):
        return over_limit(request, error, fragment)
    if request.htmx:
        return HttpResponse(fragment, status=409)
    messages.error(request, error.as_text)
    return redirect("drivers:tab", tab)


def _draw_events(driver_id: int, committed: Iterable[Event]) -> str:
    """Draw what this request's own events change on the page, once for the response and the driver's sockets.

    "": draw the page as it is now. The request caused no event, because it repeats an earlier one; or something else
    has happened since, which the tabs have been sent and an earlier drawing would take back.
    """
    rows = [row for row in committed if row.group == groups.driver(driver_id)]
    if not rows or not is_latest(rows[-1]):
        return ""
    drawn: dict[DrawingKey, str] = {}
    for row in rows:
        event = cast("fragments.DriverPageEvent", events.decode_frame(row.frame))
        key = DrawingKey("driver", (driver_id,), get_language() or settings.LANGUAGE_CODE, change_of(event))
        if key not in drawn:
            drawn[key] = draw_once(key, partial(fragments.render, event, driver_id))
    return "".join(drawn.values())


def _key_of(request: HttpRequest) -> str:
    """Return the key of a command that the page may send again (static/js/queued.js); empty: it gave none."""
    return request.headers.get("Idempotency-Key", "")


def _draw_withdrawn(driver_id: int, committed: Iterable[Event]) -> str:
    """Draw the offers that this request has withdrawn; before their list, so that the line with the reason stays."""
    withdrawn = (row for row in committed if (row.group, row.type) == (groups.driver(driver_id), "trip.offer.expired"))
    return "".join(
        fragments.render(cast("events.OfferExpired", events.decode_frame(row.frame)), driver_id) for row in withdrawn
    )


def _form_errors(form: forms.Form) -> dict[str, list[Text]]:
    return {field: [str(reason) for reason in reasons] for field, reasons in form.errors.items()}


def _render_page(
    request: SignedInRequest,
    shown: Board,
    tab: str,
    form: FiltersForm | None = None,
    hours_form: HoursForm | None = None,
    break_form: BreakForm | None = None,
    status: int = 200,
) -> HttpResponse:
    context = {
        "board": shown,
        "tab": tab,
        "form": form or FiltersForm.of(shown.driver),
        "filters_open": form is not None,
        "hours_form": hours_form or HoursForm(shown.driver),
        "break_form": break_form or BreakForm(shown.driver),
        "hours_open": hours_form is not None or break_form is not None,
        "star_values": fragments.STAR_VALUES,
        "decline_reasons": DeclineReason.choices,
    }
    return render(request, "drivers/dashboard.html", context, status=status)


@never_cache
@vary_on_headers("HX-Request")
@require_GET
@driver_required
def dashboard(request: SignedInRequest, driver: Driver) -> HttpResponse:
    """Show the page with the trip at hand, else with the offers."""
    shown = Board(driver)
    return _render_page(request, shown, "active" if shown.has_trip_at_hand else "offers")


@never_cache
@vary_on_headers("HX-Request")
@require_GET
@driver_required
def tab(request: SignedInRequest, driver: Driver, name: str) -> HttpResponse:
    """Show the page with one tab; for htmx the tab's regions, or with `before` the next page of the history."""
    if name not in TABS:
        raise Http404
    shown = Board(driver)
    if name == "history" and (before := request.GET.get("before")):
        try:
            shown.history = read_history(driver, before, now=shown.now, settings=shown.settings)
        except NotFound as error:
            raise Http404 from error
        if request.htmx:
            context = {"history": shown.history, "star_values": fragments.STAR_VALUES}
            return render(request, "drivers/history_page.html", context)
    if request.htmx:
        return HttpResponse(fragments.regions(shown, REGIONS[name]))
    return _render_page(request, shown, name)


@require_POST
@driver_required
def accept_offer(request: SignedInRequest, driver: Driver, offer_id: int) -> HttpResponse:
    try:
        with committed_events() as committed:
            accepting.accept(driver.pk, offer_id, key=_key_of(request))
    except DomainError as error:
        return _refusal_response(request, error, fragment=fragments.offer_refused(offer_id, error), tab="offers")
    fragment = _draw_events(driver.pk, committed) or fragments.regions(Board.of(driver.pk))
    response = _fragment_response(request, fragment, "active")
    return trigger_client_event(response, "stepper:tab", {"tab": "active"})


@require_POST
@driver_required
def decline_offer(request: SignedInRequest, driver: Driver, offer_id: int) -> HttpResponse:
    try:
        with committed_events() as committed:
            accepting.decline(driver.pk, offer_id, request.POST.get("reason", ""), key=_key_of(request))
    except DomainError as error:
        return _refusal_response(request, error, fragment=fragments.offer_refused(offer_id, error), tab="offers")
    fragment = _draw_events(driver.pk, committed) or fragments.offer_answered(offer_id)
    return _fragment_response(request, fragment, "offers")


@require_POST
@driver_required
def set_availability(request: SignedInRequest, driver: Driver) -> HttpResponse:
    try:
        with committed_events() as committed:
            availability.set_online(driver.pk, request.POST.get("online") == "1")
    except DomainError as error:
        fragment = fragments.regions(Board.of(driver.pk), ("availability", "notice")) + fragments.toast(error.as_text)
        return _refusal_response(request, error, fragment=fragment, tab="offers")
    fragment = _draw_events(driver.pk, committed) or fragments.regions(Board.of(driver.pk), REGIONS["offers"])
    return _fragment_response(request, fragment, "offers")


@require_POST
@driver_required
def set_filters(request: SignedInRequest, driver: Driver) -> HttpResponse:
    form = FiltersForm(request.POST)
    with committed_events() as committed:
        if form.is_valid():
            try:
                driver = availability.set_filters(driver.pk, form.filters())
            except InvalidInput as error:
                add_refusal(form, error)
    shown = Board(driver)
    saved = not form.errors
    if not request.htmx:
        return redirect("drivers:dashboard") if saved else _render_page(request, shown, "offers", form, status=400)
    shown_form = FiltersForm.of(driver) if saved else form
    fragment = _draw_withdrawn(driver.pk, committed) + fragments.filters(shown, shown_form, saved=saved)
    return HttpResponse(fragment, status=200 if saved else 400)


@require_POST
@driver_required
def set_hours(request: SignedInRequest, driver: Driver) -> HttpResponse:
    form = HoursForm(driver, request.POST)
    if form.is_valid():
        driver = working_time.set_working_time(driver.pk, form.working_time())
    saved = not form.errors
    shown = Board.of(driver.pk)
    shown_form = HoursForm(shown.driver) if saved else form
    if not request.htmx:
        return (
            redirect("drivers:dashboard")
            if saved
            else _render_page(request, shown, "offers", hours_form=form, status=400)
        )
    fragment = fragments.hours(shown, shown_form, break_form=BreakForm(shown.driver), saved=saved)
    return HttpResponse(fragment, status=200 if saved else 400)


@require_POST
@driver_required
def take_break(request: SignedInRequest, driver: Driver) -> HttpResponse:
    """Start a break now, or plan one."""
    form = BreakForm(driver, request.POST)
    try:
        with committed_events() as committed:
            if form.is_valid() and form.cleaned_data["minutes"] is not None:
                working_time.take_break(driver.pk, form.cleaned_data["minutes"])
            elif form.is_valid():
                working_time.plan_break(driver.pk, *form.span())
    except InvalidInput as error:
        form.refuse(error)
    except DomainError as error:
        return _refusal_response(
            request,
            error,
            fragment=_draw_working_time(request, driver) + fragments.toast(error.as_text),
            tab="offers",
        )
    if not form.errors:
        fragment = _draw_withdrawn(driver.pk, committed) + _draw_working_time(request, driver)
        return _fragment_response(request, fragment, "offers")
    shown = Board.of(driver.pk)
    if not request.htmx:
        return _render_page(request, shown, "offers", break_form=form, status=400)
    return HttpResponse(fragments.hours(shown, HoursForm(shown.driver), break_form=form), status=400)


@require_POST
@driver_required
def end_break(request: SignedInRequest, driver: Driver, break_id: int) -> HttpResponse:
    try:
        working_time.end_break(driver.pk, break_id)
    except DomainError as error:
        return _refusal_response(
            request,
            error,
            fragment=_draw_working_time(request, driver) + fragments.toast(error.as_text),
            tab="offers",
        )
    return _fragment_response(request, _draw_working_time(request, driver), "offers")


def _draw_working_time(request: SignedInRequest, driver: Driver) -> str:
    """Draw what a break changes on the page; the panel stays open if the pressed button was in it."""
    shown = Board.of(driver.pk)
    panel = fragments.hours(
        shown, HoursForm(shown.driver), break_form=BreakForm(shown.driver), is_open="in_panel" in request.POST
    )
    return fragments.regions(shown, REGIONS["offers"]) + panel


@require_POST
@driver_required
def update_trip(request: SignedInRequest, driver: Driver, trip_id: int) -> HttpResponse:
    """Take the next step of a trip, or report a delay, a no-show, or that the driver gives it back."""
    form = StatusForm(request.POST)
    try:
        if not form.is_valid():
            raise InvalidFields(_form_errors(form))
        with committed_events() as committed:
            driving.update_status(driver.pk, trip_id, **form.cleaned_data, key=_key_of(request))
    except DomainError as error:
        return _refusal_response(request, error, fragment=fragments.trip_refused(trip_id, error), tab="active")
    fragment = _draw_events(driver.pk, committed) or fragments.regions(Board.of(driver.pk))
    said = _DONE.get(form.cleaned_data["status"])
    return _confirmed_response(request, fragment, tab="active", said=said)


# What takes the trip off the page is confirmed in words.
_DONE: dict[str, Text] = {
    driving.RELEASED: gettext_lazy("You have given the trip back. It goes to another driver."),
    driving.NO_SHOW: gettext_lazy("The trip is cancelled: the passenger did not come."),
}


def _confirmed_response(request: SignedInRequest, fragment: str, *, tab: str, said: Text | None) -> HttpResponse:
    """Respond as `_fragment_response` does, with a short message over the page; None: without."""
    if said is None:
        return _fragment_response(request, fragment, tab)
    if not request.htmx:
        messages.success(request, str(said))
    return _fragment_response(request, fragment + fragments.toast(said, kind="done"), tab)


@require_POST
@driver_required
def rate_passenger(request: SignedInRequest, driver: Driver, trip_id: int) -> HttpResponse:
    form = StarsForm(request.POST)
    try:
        if not form.is_valid():
            raise InvalidInput("input.invalid", _("Choose 1 to 5 stars."), _form_errors(form))
        with committed_events() as committed:
            ratings.rate(trip_id, request.user, stars=form.cleaned_data["stars"])
    except DomainError as error:
        return _refusal_response(request, error, fragment=fragments.rating_refused(trip_id, error), tab="history")
    fragment = _draw_events(driver.pk, committed) or fragments.regions(Board.of(driver.pk), fragments.RATING_PLACES)
    said = _("Rating sent. You can change it for ten minutes, in the history.")
    return _confirmed_response(request, fragment, tab="history", said=said)
