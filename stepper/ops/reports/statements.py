"""Drivers' statements of a month for whoever pays them: choosing a driver, the page, its files."""

from typing import Any
from urllib.parse import urlencode

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from drivers.earnings import statements
from drivers.models import Driver
from stepper.admin import searching
from stepper.audit.looks import looked_at_list
from stepper.db.clock import database_now
from stepper.errors import InvalidInput, NotFound, TooManyRequests
from stepper.ops.access import ops_page
from stepper.ops.sections import REPORTS
from stepper.web.downloads import file_response
from stepper.web.refusals import over_limit

from .figures import MONEY
from .pages import tabs_of

_FOUND = 20
# Bigger than any key is no driver's.
_DIGITS = 18


@require_safe
@ops_page(REPORTS, MONEY)
def statement(request: HttpRequest) -> HttpResponse:
    """Show a driver's month, or the drivers whose name was looked for."""
    text = request.GET.get("q", "").strip()[:80]
    context: dict[str, Any] = {"tabs": tabs_of(request.user), "text": text, "statements": True}
    if not request.GET.get("driver"):
        context["drivers"] = _search(text)
        looked_at_list(request, "drivers.driver")
        return render(request, "ops/reports/statement.html", context)
    try:
        found = _read(request)
    except NotFound as error:
        raise Http404 from error
    except InvalidInput as error:
        return render(request, "ops/reports/refused.html", {"refusal": error}, status=error.status)
    except TooManyRequests as error:
        return over_limit(request, error)
    month = found.month
    context |= {
        "statement": found,
        "previous": _query(found, month.previous) if month.previous else "",
        "next": _query(found, month.next) if not month.is_current(database_now()) else "",
        "query": _query(found, month),
    }
    return render(request, "ops/reports/statement.html", context)


@require_safe
@ops_page(REPORTS, MONEY)
def statement_file(request: HttpRequest, file_format: str) -> HttpResponse:
    """Send a driver's month as a file."""
    try:
        found = _read(request)
        file = statements.write(found, file_format)
    except NotFound as error:
        raise Http404 from error
    except InvalidInput as error:
        return render(request, "ops/reports/refused.html", {"refusal": error}, status=error.status)
    except TooManyRequests as error:
        return over_limit(request, error)
    return file_response(file)


def _read(request: HttpRequest) -> statements.Statement:
    user: Any = request.user
    text = request.GET.get("driver", "")
    if not (text.isascii() and text.isdecimal() and len(text) <= _DIGITS):
        raise NotFound("not_found", _("There is no such driver."))
    return statements.read_for_staff(int(text), request.GET.get("month", ""), user)


def _search(text: str) -> list[Driver]:
    drivers: Any = Driver.objects.select_related("user", "vehicle").order_by("user__name", "pk")
    if text:
        drivers = searching.search(drivers, ["user__name", "user__phone", "vehicle__plate"], text).rows
    return list(drivers[:_FOUND])


def _query(found: statements.Statement, month: Any) -> str:
    return urlencode({"driver": found.driver.pk, "month": month.key})
