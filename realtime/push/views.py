"""The page of pushes: turning them on for this browser, and choosing which kinds one wants."""

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from realtime.push import subscriptions
from realtime.push.subscriptions import LABELS, Topic
from stepper.errors import DomainError
from stepper.web.requests import SignedInRequest


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@login_required
def pushes(request: SignedInRequest) -> HttpResponse:
    """Show whether this browser gets pushes, and which; store the kinds that are wanted."""
    error, status = None, 200
    if request.method == "POST":
        wanted = {topic: topic.value in request.POST for topic in Topic}
        try:
            subscriptions.choose_topics(request.user, wanted)
        except DomainError as refusal:
            error, status = refusal, refusal.status
        else:
            messages.success(request, _("Saved."))
            return redirect("realtime:pushes")
    state = subscriptions.state_of(request.user, request.session.session_key)
    context = {
        "is_offered": state.public_key is not None,
        "public_key": state.public_key or "",
        "is_on": state.is_subscribed,
        "topics": [(topic.value, LABELS[topic], is_wanted) for topic, is_wanted in state.topics.items()],
        "error": error,
    }
    return render(request, "realtime/pushes.html", context, status=status)


@require_POST
@login_required
def turn_off(request: SignedInRequest) -> HttpResponse:
    """Have this browser get no pushes any more. Also where its scripts do not run."""
    subscriptions.unsubscribe(request.user, request.session.session_key)
    return redirect("realtime:pushes")
