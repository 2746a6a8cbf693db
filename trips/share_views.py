"""Sharing a trip: making and ending links on the trip page, and the page behind a link, which needs no account."""

from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import get_language
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from stepper.accounts.sign_in import client_address
from stepper.errors import DomainError, NotFound, TooManyRequests
from stepper.models import ServiceSettings, User
from stepper.web.refusals import over_limit, with_retry_after
from stepper.web.requests import SignedInRequest

from . import access, shares
from .models import Trip
from .shared_page import SharedTrip


def share_context(user: User, trip: Trip) -> dict[str, object]:
    """Return what the list of a trip's links shows to a user; `shares` is empty where there are none."""
    return {
        "trip": trip,
        "shares": shares.list_shares(user, trip),
        "may_share": shares.may_share(user, trip),
        "may_send": shares.lacks_sent_link(user, trip),
    }


def _draw_links(request: SignedInRequest, trip_id: int, **more: object) -> HttpResponse:
    trip = access.trip_for(request.user, trip_id)
    return render(request, "trips/share.html", {**share_context(request.user, trip), **more})


def _draw_refusal(request: SignedInRequest, trip_id: int, error: DomainError) -> HttpResponse:
    if isinstance(error, NotFound):
        raise Http404 from error
    if isinstance(error, TooManyRequests):
        return over_limit(request, error)
    response = _draw_links(request, trip_id, refusal=error)
    response.status_code = error.status
    return with_retry_after(response, error)


@never_cache
@require_POST
@login_required
def create(request: SignedInRequest, trip_id: int) -> HttpResponse:
    """Make a link and show it; nobody can read it again."""
    try:
        made = shares.create_share(trip_id, request.user)
    except DomainError as error:
        return _draw_refusal(request, trip_id, error)
    address = request.build_absolute_uri(reverse("shared-trip", args=[made.token]))
    return _draw_links(request, trip_id, address=address)


@never_cache
@require_POST
@login_required
def send_again(request: SignedInRequest, trip_id: int) -> HttpResponse:
    """Send the traveller the link that they did not get."""
    try:
        shares.send_link_again(trip_id, request.user)
    except DomainError as error:
        return _draw_refusal(request, trip_id, error)
    return _draw_links(request, trip_id)


@never_cache
@require_POST
@login_required
def revoke(request: SignedInRequest, trip_id: int, share_id: int) -> HttpResponse:
    """End a link."""
    try:
        shares.revoke_share(trip_id, share_id, request.user)
    except DomainError as error:
        return _draw_refusal(request, trip_id, error)
    return _draw_links(request, trip_id)


@never_cache
@require_safe
def shared_trip(request: HttpRequest, token: str) -> HttpResponse:
    """Show a trip to whoever has its link."""
    try:
        share = shares.open_share(token, client_address(request))
    except TooManyRequests as error:
        return over_limit(request, error)
    except NotFound as error:
        response = render(request, "trips/shared_ended.html", {"refusal": error}, status=410)
    else:
        context = {"shared": SharedTrip(share.trip), "token": token, "socket_language": get_language()}
        if share.sent_to:
            # Whoever travels without an account needs help as others do.
            context["emergency_number"] = ServiceSettings.current().emergency_number
        response = render(request, "trips/shared.html", context)
    # The address is the permission: map tiles and pages that it leads to get the origin only.
    response["Referrer-Policy"] = "strict-origin"
    response["X-Robots-Tag"] = "noindex, nofollow"
    return response
