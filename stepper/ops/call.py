"""Taking a call: who it is as the number is typed, the price to say, and the booking.

The page has one form; the tabs of several calls are drafts that its script keeps (static/js/call.js).
"""

from typing import Any

import msgspec
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import get_language
from django.views.decorators.http import require_POST, require_safe

from stepper import languages
from stepper.audit.looks import looked_at
from stepper.errors import DomainError
from stepper.ops.access import ops_page
from stepper.ops.call_form import CallForm
from stepper.ops.sections import CALL
from stepper.phones import normal_phone
from stepper.sms import sending
from stepper.web.refusals import with_retry_after
from trips import calls
from trips.booking_links import fields_of
from trips.booking_pages import price_context
from trips.forms import NOW
from trips.models import Trip

# The keys with Alt that fill in a past trip or a place, by their position on the keyboard: neither those of browsers'
# menus nor those that switch languages.
TRIP_KEYS = tuple(f"Alt {key}" for key in "QWXCV")
PLACE_KEYS = tuple(f"Alt {key}" for key in "ASGHJK")
# As they are printed on keyboards, whatever the language.
_KEYS = {"new_key": "Alt N", "book_key": "Alt ⏎"}


@require_safe
@ops_page(CALL)
def show(request: HttpRequest) -> HttpResponse:
    """Show the page; `?phone=` opens the card of who calls, as exchanges that open addresses do."""
    first = {"departure": NOW, "vehicle_class": "sedan", "seats": "1", "bags": "0", "sms_language": get_language()}
    form = CallForm(initial=first)
    # A plus that a link does not escape arrives as a space.
    asked = request.GET.get("phone", "")
    phone = normal_phone("+" + asked.strip() if asked.startswith(" ") else asked) or ""
    context = price_context(request, form) | {
        **_KEYS,
        "phone": phone,
        "sends_sms": sending.is_offered() and bool(settings.PUBLIC_URL),
    }
    return render(request, "ops/call.html", context)


@require_POST
@ops_page(CALL)
def caller(request: HttpRequest) -> HttpResponse:
    """Draw who calls from the number typed so far."""
    text = request.POST.get("phone", "")[:40]
    found = calls.find_caller(request.user, text)  # type: ignore[arg-type]
    context: dict[str, Any] = {"caller": found, "is_empty": not text.strip()}
    if found is not None:
        if found.user is not None:
            looked_at(request, [found.user.pk], "stepper.user", found.user.pk)
        shown = [*found.open_trips, *found.past_trips]
        names = calls.taken_by([trip.pk for trip in shown])
        context |= {
            "open_trips": [(trip, names.get(trip.pk, "")) for trip in found.open_trips],
            "past_trips": [
                (trip, names.get(trip.pk, ""), _json(fields_of(trip)), key)
                for trip, key in zip(found.past_trips, TRIP_KEYS, strict=False)
            ],
            "places": [
                (one, _json(msgspec.to_builtins(one.place)), key)
                for one, key in zip(found.places, PLACE_KEYS, strict=False)
            ],
        }
    return render(request, "ops/caller.html", context)


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()


@require_POST
@ops_page(CALL)
def quote(request: HttpRequest) -> HttpResponse:
    """Draw the price and the wait that the operator says; nothing is booked."""
    form = CallForm(request.POST)
    context = {"quote_alone": True, **price_context(request, form)}
    return with_retry_after(render(request, "ops/call_quote.html", context), context.get("refusal"))


@require_POST
@ops_page(CALL)
def book(request: HttpRequest) -> HttpResponse:
    """Book for who calls, and draw what became of it."""
    form = CallForm(request.POST)
    refusal: DomainError | None = None
    if form.is_valid():
        data = form.cleaned_data
        try:
            taken = calls.book_for_caller(
                request.user,  # type: ignore[arg-type]
                data["phone"],
                form.request(),
                name=data["caller_name"],
                language=data["sms_language"] or languages.SOURCE,
                key=data["request_key"],
                quote_token=data["quote"],
            )
            return _booked(request, taken)
        except DomainError as error:
            form.refuse(error)
            refusal = error
    return with_retry_after(render(request, "ops/call_refused.html", {"form": form}, status=422), refusal)


def _booked(request: HttpRequest, taken: calls.Taken) -> HttpResponse:
    trip = Trip.objects.select_related("organiser").get(pk=taken.trip.pk)
    link = taken.link
    if link and not settings.PUBLIC_URL:
        link = request.build_absolute_uri(link)
    names = calls.taken_by([trip.pk])
    context = {
        **_KEYS,
        "taken": taken,
        "trip": trip,
        "link": link,
        "taken_by": names.get(trip.pk, ""),
        "panel": f"{reverse('ops:room')}trips/{trip.pk}/",
    }
    return render(request, "ops/call_booked.html", context)
