"""The notifications, behind the bell and on a page of their own: by category, read one by one or together.

Each answer is a page or, for htmx, the list alone; static/js/notifications.js has an open list drawn anew when
something came or was read elsewhere.
"""

from typing import Any
from urllib.parse import urlencode

from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from stepper.errors import NotFound
from stepper.web.requests import SignedInRequest

from .delivery import notifications as delivered
from .models import Notification

SHOWN = 30
# The elements that hold the list: behind the bell, and on the page of its own.
BELL, PAGE = "notifications", "notifications-page"


def _render_list(request: SignedInRequest, *, category: str, before: str = "", changed: bool = False) -> HttpResponse:
    """Render the list; with the badge too where the number of unread ones has changed."""
    template = "realtime/list.html" if request.htmx else "realtime/notifications.html"
    context = _list_context(request.user.pk, category, before)
    context |= {"with_badge": changed, "place": BELL if request.htmx.target == BELL else PAGE}
    return render(request, template, context)


def _list_context(user_id: int, category: str, before: str) -> dict[str, Any]:
    """Read a page of the list: those older than the notification `before`, empty: the newest. Two queries.

    Raises:
        Http404: there is no such category, or no notification can have such a number
    """
    if not delivered.is_choice(category) or not (before or "1").isdecimal() or len(before) > 18:
        raise Http404
    rows = delivered.list_for(user_id, category)
    found = list((rows.filter(pk__lt=int(before)) if before else rows)[: SHOWN + 1])
    unread = delivered.unread_by_category(user_id)
    return {
        "notifications": found[:SHOWN],
        "category": category,
        "categories": [(name, Notification.Category(name).label, count) for name, count in unread.items()],
        "unread": unread.get(category, 0) if category else sum(unread.values()),
        "unread_of_all": sum(unread.values()),
        "before": before,
        "earlier": found[SHOWN - 1].pk if len(found) > SHOWN else "",
        "address": f"{reverse('realtime:notifications')}?{urlencode({'category': category, 'before': before})}",
    }


@never_cache
@require_safe
@login_required
def notifications(request: SignedInRequest) -> HttpResponse:
    """Show the notifications, of one category if one is asked for."""
    return _render_list(request, category=request.GET.get("category", ""), before=request.GET.get("before", ""))


@require_POST
@login_required
def read(request: SignedInRequest, notification_id: int) -> HttpResponse:
    """Mark one as read; without htmx redirect to its link. Repeating it changes nothing."""
    try:
        notification = delivered.mark_read(request.user.pk, notification_id)
    except NotFound as error:
        raise Http404 from error
    if request.htmx:
        return _render_list(request, category=request.POST.get("category", ""), changed=True)
    target = notification.action_url
    if target and url_has_allowed_host_and_scheme(target, allowed_hosts=None):
        return HttpResponseRedirect(target)
    return redirect("realtime:notifications")


@require_POST
@login_required
def read_all(request: SignedInRequest) -> HttpResponse:
    """Mark all of the user's notifications as read, or all of a category."""
    category = request.POST.get("category", "")
    if not delivered.is_choice(category):
        raise Http404
    delivered.mark_all_read(request.user.pk, category)
    if request.htmx:
        return _render_list(request, category=category, changed=True)
    return redirect(f"{reverse('realtime:notifications')}?{urlencode({'category': category})}")
