"""The booking form, open to everybody: its price as it changes, links that fill it, and booking itself.

Somebody who has not signed in is asked to at the last step, and comes back to the form as it was.
"""

from typing import Any
from urllib.parse import urlencode
from uuid import uuid4

from django.http import HttpRequest, HttpResponse, HttpResponsePermanentRedirect
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from stepper.accounts.sign_in import client_address
from stepper.db.clock import database_now
from stepper.errors import DomainError
from stepper.models import ServiceSettings, User
from stepper.sms import sending
from stepper.web.refusals import with_retry_after
from trips import bookings, drafts, quotes, shares

from .booking_links import form_of_link
from .booking_requests import SEATS
from .booking_times import offered_times
from .forms import NOW, BookingForm
from .places.finding import Searcher
from .states import VehicleClass


def _user(request: HttpRequest) -> User | None:
    return request.user if request.user.is_authenticated else None


def searcher_of(request: HttpRequest) -> Searcher:
    """Return who is counted for the names that the form looks up: it answers as the search for places does."""
    return Searcher(_user(request), client_address(request))


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def book(request: HttpRequest) -> HttpResponse:
    """Show the booking form, and book; its hidden key makes sending it twice one trip."""
    if request.method != "POST":
        form, is_restored = _first_form(request)
        page = _page(request, form, status=200, is_restored=is_restored)
        return with_retry_after(page, form.search_refusal)
    form = BookingForm(request.POST, searcher=searcher_of(request))
    refusal: DomainError | None = None
    if form.is_valid():
        try:
            return _book(request, form)
        except DomainError as error:
            form.refuse(error)
            refusal = error
    return with_retry_after(_page(request, form, status=422), refusal or form.search_refusal)


def _book(request: HttpRequest, form: BookingForm) -> HttpResponse:
    """Book what the form says; keep it for somebody who has to sign in first. Raises DomainError."""
    user = _user(request)
    if user is None:
        drafts.keep_draft(request.session, form.entered(), form.request(), address=client_address(request))
        account = "stepper:phone-sign-in" if sending.is_offered() else "account_signup"
        return redirect(f"{reverse(account)}?{urlencode({'next': reverse('booking:book')})}")
    key, quote_token = form.cleaned_data["request_key"] or None, form.cleaned_data["quote"]
    trip = bookings.book(user, form.request(), key, quote_token=quote_token)
    drafts.forget_draft(request.session)
    return redirect("trips:detail", trip.pk)


def _first_form(request: HttpRequest) -> tuple[BookingForm, bool]:
    """Return the form as a link or an earlier visit fills it, else empty; and whether it is the earlier visit's."""
    key = uuid4().hex
    initial = {"departure": NOW, "vehicle_class": "sedan", "seats": "1", "bags": "0", "request_key": key}
    linked = form_of_link(request.GET, searcher_of(request), initial=initial)
    if linked is not None:
        return linked, False
    draft = drafts.find_draft(request.session)
    if draft is not None:
        return BookingForm(draft, searcher=searcher_of(request)), True
    return BookingForm(initial={"request_key": key}), False


def _page(request: HttpRequest, form: BookingForm, *, status: int, is_restored: bool = False) -> HttpResponse:
    is_new = request.user.is_authenticated and "welcome" in request.GET
    link = shares.link_for_traveller(_user(request)).value
    context = {"is_restored": is_restored, "is_new": is_new, "traveller_link": link, **price_context(request, form)}
    return render(request, "trips/book.html", context, status=status)


def price_context(request: HttpRequest, form: BookingForm) -> dict[str, Any]:
    """Return for the template what the form's trip would cost, or why there is no price, and the times to choose."""
    context: dict[str, Any] = {"form": form}
    if form.is_bound and form.is_priceable():
        try:
            context["quotes"] = quotes.quote_classes(
                _user(request),
                form.request(priced_only=True),
                address=client_address(request),
                kept_token=form.data.get("quote", ""),
            )
            context["seats"] = form.cleaned_data.get("seats", 1)
        except DomainError as error:
            context["refusal"] = error
    elif form.search_refusal is not None:
        context["refusal"] = form.search_refusal
    times = offered_times(form.zone, database_now(), ServiceSettings.current())
    form.offer_times(times)
    return {**context, "times": times, "class_options": _class_options(context.get("quotes"))}


def _class_options(found: quotes.Quotes | None) -> list[tuple[VehicleClass, int, quotes.ClassQuote | None]]:
    """Return each class with its seats and, where there are prices, its quote."""
    priced = {one.vehicle_class: one for one in found.classes} if found else {}
    return [(one, SEATS[one], priced.get(one)) for one in VehicleClass]


@never_cache
@require_http_methods(["GET", "POST"])
def quote(request: HttpRequest) -> HttpResponse:
    """Show the prices of what the form has so far; nothing is booked.

    Our page sends a POST: its places do not belong in access logs. GET is for pages of the release before that are open
    during an upgrade; take it out in the next release.
    """
    form = BookingForm(request.POST if request.method == "POST" else request.GET, searcher=searcher_of(request))
    context = {"quote_alone": True, **price_context(request, form)}
    return with_retry_after(render(request, "trips/quote.html", context), context.get("refusal"))


@require_http_methods(["GET", "HEAD", "POST"])
def moved(request: HttpRequest) -> HttpResponse:
    """Lead from the form's earlier address to the present one; what an open page of that release sends is kept."""
    query = request.META.get("QUERY_STRING", "")
    address = reverse("booking:book") + (f"?{query}" if query else "")
    return HttpResponsePermanentRedirect(address, preserve_request=request.method == "POST")
