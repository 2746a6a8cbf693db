"""The drivers of the operations room: their list, the panel of one driver, and what staff do on it."""

from django.http import Http404, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_http_methods, require_safe

from stepper.admin.confirmed import require_staff_confirmed
from stepper.audit.looks import looked_at_list
from stepper.errors import DomainError, NotFound
from stepper.ops import actions
from stepper.ops.access import ops_page
from stepper.ops.answers import act_page, done, history_answer, refused
from stepper.ops.driver_list import SHOWN, DriverFilter, find_drivers
from stepper.ops.driver_panel import DriverPanel, read_history
from stepper.ops.forms import ActionForm
from stepper.ops.sections import DRIVERS
from stepper.web.refusals import add_refusal
from stepper.web.requests import SignedInRequest


def _panel(request: SignedInRequest, driver_id: int) -> DriverPanel:
    try:
        panel = DriverPanel.of(driver_id, request.user)
    except NotFound as error:
        raise Http404 from error
    # Of their trips, which name passengers.
    looked_at_list(request, "trips.trip")
    return panel


@require_safe
@ops_page(DRIVERS)
def drivers(request: SignedInRequest) -> HttpResponse:
    """Show the list of drivers, a page of it."""
    looked_at_list(request, "drivers.driver")
    wanted = DriverFilter.of(request.GET)
    query = request.GET.copy()
    query.pop("after", None)
    context = {
        "wanted": wanted,
        "found": find_drivers(wanted, request.GET.get("after", "")),
        "kinds": [(name, label) for name, (label, _columns) in SHOWN.items()],
        "query": query.urlencode(),
    }
    template = "ops/driver_rows.html" if request.htmx and "after" in request.GET else "ops/drivers.html"
    return render(request, template, context)


@require_safe
@ops_page(DRIVERS)
def driver(request: SignedInRequest, driver_id: int) -> HttpResponse:
    """Show a driver with what they have and had."""
    return render(request, "ops/driver.html", {"panel": _panel(request, driver_id)})


@require_safe
@ops_page(DRIVERS)
def history(request: SignedInRequest, driver_id: int) -> HttpResponse:
    """Show an earlier page of a driver's history."""
    panel = _panel(request, driver_id)
    return history_answer(request, panel, "driver", lambda before: read_history(panel.driver, request.user, before))


@require_http_methods(["GET", "HEAD", "POST"])
@ops_page(DRIVERS)
def act(request: SignedInRequest, driver_id: int, name: str) -> HttpResponse:
    """Say what an action will do to a driver, and do it. The verb checks the permission, which differs."""
    panel = _panel(request, driver_id)
    action = actions.find(actions.DRIVER_ACTIONS, name)
    if action is None:
        raise Http404
    form = ActionForm(action, request.POST if request.method == "POST" else None)
    status = 200
    if request.method == "POST":
        status = 422
        if form.is_valid():
            if action.is_confirmed:
                require_staff_confirmed(request)
            try:
                action.do(panel.driver, request.user, form.cleaned_data.get("reason", ""), None)
            except DomainError as error:
                add_refusal(form, error)
                return refused(error, act_page(request, panel, "driver", action, form, status=error.status))
            return done(request, driver_id, "driver", action.done)
    return act_page(request, panel, "driver", action, form, status=status)
