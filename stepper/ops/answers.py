"""How the panels of the operations room answer: done, refused, an earlier page of a history."""

import datetime as dt
from collections.abc import Callable
from typing import Any, Literal

from django.contrib import messages
from django.http import HttpResponse, HttpResponseBadRequest
from django.shortcuts import redirect, render
from django.template.loader import render_to_string

from stepper.errors import DomainError, InvalidInput, Text
from stepper.ops import fragments
from stepper.ops.actions import Action
from stepper.ops.forms import ActionForm
from stepper.ops.history import HistoryPage, parse_before
from stepper.web.refusals import with_retry_after
from stepper.web.requests import SignedInRequest

Kind = Literal["trip", "driver"]
_DRAW: dict[Kind, Callable[..., str]] = {"trip": fragments.draw_trip, "driver": fragments.draw_driver}


def done(request: SignedInRequest, row_id: int, kind: Kind, words: Text) -> HttpResponse:
    """Answer what was done: with a line and the panel as it is now, the form is gone; without htmx by the page."""
    if not request.htmx:
        messages.success(request, str(words))
        return redirect(f"ops:{kind}", row_id)
    toast = render_to_string("drivers/toast.html", {"text": words, "kind": "info"})
    return HttpResponse(toast + _DRAW[kind](row_id, request.user))


def refused(error: DomainError, response: HttpResponse) -> HttpResponse:
    """Return the form with the refusal in it, as a 429 or 503 where the same is not refused later."""
    return with_retry_after(response, error)


def act_page(
    request: SignedInRequest, panel: Any, kind: Kind, action: Action, form: ActionForm, *, status: int = 200
) -> HttpResponse:
    """Show what an action will do to the panel's row, with its form; htmx gets the form alone."""
    row = getattr(panel, kind)
    context = {
        "panel": panel,
        "action": action,
        "effect": action.effect(row),
        "form": form,
        "work": "ops/act.html",
        "kind": kind,
        "row_id": row.pk,
    }
    return render(request, "ops/act.html" if request.htmx else f"ops/{kind}.html", context, status=status)


def history_answer(
    request: SignedInRequest, panel: Any, kind: Kind, read: Callable[[dt.datetime | None], HistoryPage]
) -> HttpResponse:
    """Answer the page of a history that ends before `?before=`."""
    try:
        before = parse_before(request.GET.get("before", ""))
    except InvalidInput:
        return HttpResponseBadRequest()
    context = {"panel": panel, "kind": kind, "page_of_history": read(before), "row_id": getattr(panel, kind).pk}
    template = "ops/history_earlier.html" if request.htmx else "ops/history_page.html"
    return render(request, template, context)
