"""Turning pushes off for this browser; the page that does it is `realtime.delivery.choice_pages`."""

from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_POST

from realtime.push import subscriptions
from stepper.web.requests import SignedInRequest


@require_POST
@login_required
def turn_off(request: SignedInRequest) -> HttpResponse:
    """Have this browser get no pushes any more. Also where its scripts do not run."""
    subscriptions.unsubscribe(request.user, request.session.session_key)
    return redirect("realtime:pushes")
