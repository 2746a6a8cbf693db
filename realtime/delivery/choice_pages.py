"""The page of notification choices: what comes to this device, and which kinds by which way."""

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from realtime.delivery.choices import MAIL_TOPICS, choices_of, choose
from realtime.push import subscriptions
from realtime.push.subscriptions import LABELS, Topic
from stepper.errors import DomainError
from stepper.web.requests import SignedInRequest


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@login_required
def choose_notifications(request: SignedInRequest) -> HttpResponse:
    """Show whether this browser gets pushes, and what comes by which way; store what is wanted."""
    error, status = None, 200
    if request.method == "POST":
        # The ways that the page offered: it has no marks for another one, and what was chosen of that stays.
        ways = request.POST.getlist("ways")
        try:
            choose(
                request.user,
                push={topic: topic.value in request.POST for topic in Topic},
                mail={topic: f"mail-{topic.value}" in request.POST for topic in MAIL_TOPICS if "mail" in ways},
                sms="sms" in request.POST if "sms" in ways else None,
            )
        except DomainError as refusal:
            error, status = refusal, refusal.status
        else:
            messages.success(request, _("Saved."))
            return redirect("realtime:pushes")
    state = subscriptions.state_of(request.user, request.session.session_key)
    choices = choices_of(request.user)
    context = {
        "is_offered": state.public_key is not None,
        "public_key": state.public_key or "",
        "is_on": state.is_subscribed,
        "topics": [
            (topic.value, LABELS[topic], is_wanted, choices.mail.get(topic))
            for topic, is_wanted in choices.push.items()
        ],
        "choices": choices,
        "error": error,
    }
    return render(request, "realtime/pushes.html", context, status=status)
