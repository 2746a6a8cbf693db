"""The pages of a trip's messages and of calls for help, for passenger and driver alike."""

import hashlib
from typing import Any

from django import forms
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext_lazy
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from stepper.errors import DomainError, NotFound, TooManyRequests
from stepper.models import ServiceSettings, User
from stepper.web.refusals import over_limit, with_retry_after
from stepper.web.requests import SignedInRequest

from . import access, messages, safety, shares
from .conversations import ConversationPage
from .models import TEXT_LENGTH, Trip
from .states import ASSIGNED

LOST = gettext_lazy("I think I left something in the car:")


class MessageForm(forms.Form):
    """Neither limit of length is the form's: the verb says what is wrong, and the field keeps what was typed."""

    text = forms.CharField(required=False, max_length=20 * TEXT_LENGTH)
    quick = forms.CharField(required=False, max_length=20)
    key = forms.CharField(required=False, max_length=32)


class UpToForm(forms.Form):
    up_to = forms.IntegerField(min_value=1, max_value=2**63 - 1)


class PositionForm(forms.Form):
    lat = forms.FloatField(min_value=-90, max_value=90, required=False)
    lng = forms.FloatField(min_value=-180, max_value=180, required=False)


def _page(request: SignedInRequest, trip_id: int, **more: Any) -> ConversationPage:
    try:
        return ConversationPage(messages.read_conversation(request.user, trip_id), request.user, **more)
    except NotFound as error:
        raise Http404 from error


def _draw(request: SignedInRequest, page: ConversationPage, template: str) -> HttpResponse:
    context = {"conversation": page, "support": ServiceSettings.current().support}
    response = render(request, template, context)
    if page.refusal is not None:
        response.status_code = page.refusal.status
    return with_retry_after(response, page.refusal)


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@login_required
def conversation(request: SignedInRequest, trip_id: int) -> HttpResponse:
    """Show the messages of a trip, as a page or for the dialog of another one, and send a message."""
    if request.method == "POST":
        return _send(request, trip_id)
    draft = f"{LOST} " if "lost" in request.GET else ""
    template = "trips/conversation.html" if request.htmx else "trips/messages.html"
    if request.htmx and request.htmx.target == f"messages-{trip_id}":
        # What came while the page had no connection.
        template = "trips/message_list.html"
    return _draw(request, _page(request, trip_id, draft=draft), template)


def _send(request: SignedInRequest, trip_id: int) -> HttpResponse:
    form = MessageForm(request.POST)
    wanted = form.cleaned_data if form.is_valid() else {"text": request.POST.get("text", ""), "quick": "", "key": ""}
    text, quick = wanted["text"], wanted["quick"]
    # Of the words as well: whoever changes what may have been sent already writes another message.
    key = f"{wanted['key']}-{hashlib.sha256(f'{quick}:{text}'.encode()).hexdigest()[:16]}" if wanted["key"] else ""
    refusal: DomainError | None = None
    try:
        messages.send(trip_id, request.user, text=text, quick=quick, key=key)
    except NotFound as error:
        raise Http404 from error
    except DomainError as error:
        refusal = error
    if refusal is None and not request.htmx:
        return redirect("trips:messages", trip_id)
    page = _page(request, trip_id, draft=text if refusal is not None else "", refusal=refusal)
    return _draw(request, page, _answered_by(request, quick))


def _answered_by(request: SignedInRequest, quick: str) -> str:
    """Return what an answer draws: the form that was sent, with the messages beside it."""
    if not request.htmx:
        return "trips/messages.html"
    return "trips/quick_sent.html" if quick else "trips/message_sent.html"


@never_cache
@require_POST
@login_required
def read(request: SignedInRequest, trip_id: int) -> HttpResponse:
    """Mark messages as read that were on the screen."""
    form = UpToForm(request.POST)
    try:
        if form.is_valid():
            messages.mark_read(trip_id, request.user, form.cleaned_data["up_to"])
        else:
            _page(request, trip_id)
    except NotFound as error:
        raise Http404 from error
    except TooManyRequests as error:
        return over_limit(request, error)
    return HttpResponse(status=204 if form.is_valid() else 400)


@never_cache
@require_POST
@login_required
def report(request: SignedInRequest, trip_id: int, message_id: int) -> HttpResponse:
    """Report a message to staff."""
    try:
        messages.report(trip_id, message_id, request.user)
    except NotFound as error:
        raise Http404 from error
    except TooManyRequests as error:
        return over_limit(request, error)
    if not request.htmx:
        return redirect("trips:messages", trip_id)
    return _draw(request, _page(request, trip_id), "trips/message_list.html")


# Calls for help


def safety_context(user: User, trip: Trip, settings: ServiceSettings) -> dict[str, object]:
    """Return what the safety dialog of a trip shows to a user."""
    return {
        "trip": trip,
        "emergency_number": settings.emergency_number,
        "alert": safety.open_alert(user, trip) if trip.status in ASSIGNED else None,
    }


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@login_required
def help_page(request: SignedInRequest, trip_id: int) -> HttpResponse:
    """Show whom to call, and call the staff."""
    refusal: DomainError | None = None
    try:
        trip = access.trip_for(request.user, trip_id)
        if not safety.has_part_in(request.user, trip):
            raise Http404
        if request.method == "POST":
            refusal = _call(request, trip_id)
    except NotFound as error:
        raise Http404 from error
    if refusal is None and request.method == "POST" and not request.htmx:
        return redirect("trips:safety", trip_id)
    template = "trips/safety.html" if request.htmx else "trips/safety_page.html"
    context = {
        **safety_context(request.user, trip, ServiceSettings.current()),
        "refusal": refusal,
        "may_call": safety.may_call(request.user, trip),
        "may_share": shares.may_share(request.user, trip),
    }
    response = render(request, template, context, status=refusal.status if refusal else 200)
    return with_retry_after(response, refusal)


def _call(request: SignedInRequest, trip_id: int) -> DomainError | None:
    """Call the staff; return why that was refused. A position that cannot be read does not hold the call up."""
    form = PositionForm(request.POST)
    position = {name: form.cleaned_data.get(name) for name in form.fields} if form.is_valid() else {}
    try:
        safety.raise_alert(trip_id, request.user, **position)
    except NotFound:
        raise
    except DomainError as error:
        return error
    return None
