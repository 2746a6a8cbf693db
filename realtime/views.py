"""The notification list behind the bell: show it, mark one read, mark all read; as a page or as an htmx fragment."""

from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from stepper.web.requests import SignedInRequest

from .delivery import notifications as delivered
from .models import Notification

SHOWN = 30


def _render_list(request: SignedInRequest, changed: bool = False) -> HttpResponse:
    """Render the list; with the badge too where the number of unread ones has changed."""
    template = "realtime/list.html" if request.htmx else "realtime/notifications.html"
    context = {
        "notifications": Notification.objects.filter(user=request.user)[:SHOWN],
        "unread": delivered.unread_count(request.user.pk),
        "with_badge": changed,
    }
    return render(request, template, context)


@never_cache
@require_safe
@login_required
def notifications(request: SignedInRequest) -> HttpResponse:
    """Show the latest notifications."""
    return _render_list(request)


@require_POST
@login_required
def read(request: SignedInRequest, notification_id: int) -> HttpResponse:
    """Mark one as read; without htmx redirect to its link. Repeating it changes nothing."""
    notification = Notification.objects.filter(pk=notification_id, user=request.user).first()
    if notification is None:
        raise Http404
    delivered.mark_read(request.user.pk, notification_id)
    if request.htmx:
        return _render_list(request, changed=True)
    target = notification.action_url
    if target and url_has_allowed_host_and_scheme(target, allowed_hosts=None):
        return redirect(target)
    return redirect("realtime:notifications")


@require_POST
@login_required
def read_all(request: SignedInRequest) -> HttpResponse:
    """Mark all of the user's notifications as read."""
    delivered.mark_all_read(request.user.pk)
    return _render_list(request, changed=True) if request.htmx else redirect("realtime:notifications")
