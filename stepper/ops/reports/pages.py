"""The pages of the reports, and their tables as files."""

from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext as _
from django.utils.translation import pgettext
from django.views.decorators.http import require_safe

from stepper import limits
from stepper.audit.looks import looked_at_list
from stepper.db.clock import database_now
from stepper.errors import InvalidInput, NotPermitted, TooManyRequests
from stepper.models import User
from stepper.ops.access import ops_page
from stepper.ops.sections import REPORTS as SECTION
from stepper.web.downloads import File, file_response
from stepper.web.refusals import over_limit
from trips.models import ReportState, TripDay
from trips.reports.days import DAY, day_of
from trips.reports.towns import Towns
from trips.states import VehicleClass

from .figures import MONEY, REPORTS, Entry
from .ranges import NO_TOWN, QUICK_DAYS, Scope, parse_scope
from .tables import Report

# Reports add up a year; files are read by programs, too.
_PER_MIN = 60


@require_safe
@ops_page(SECTION)
def report(request: HttpRequest, name: str = "trips") -> HttpResponse:
    """Show a report of some days."""
    try:
        found, scope = _read(request, name)
    except InvalidInput as error:
        return render(request, "ops/reports/refused.html", {"refusal": error}, status=error.status)
    except TooManyRequests as error:
        return over_limit(request, error)
    context = {
        "report": found,
        "scope": scope,
        "name": name,
        "tabs": tabs_of(request.user),
        "classes": VehicleClass.choices,
        "places": _places(scope),
        "quick": _quick(scope),
        "state": ReportState.objects.first(),
        "statements": request.user.has_perm(MONEY),
    }
    return render(request, "ops/reports/report.html", context)


@require_safe
@ops_page(SECTION)
def report_file(request: HttpRequest, name: str, file_format: str) -> HttpResponse:
    """Send the whole table of a report as a file, in the language of the page."""
    from stepper.web import spreadsheets  # noqa: PLC0415 - what it imports takes time, and few ask for files

    if file_format not in spreadsheets.CONTENT_TYPES:
        raise Http404
    try:
        found, scope = _read(request, name)
    except InvalidInput as error:
        return render(request, "ops/reports/refused.html", {"refusal": error}, status=error.status)
    except TooManyRequests as error:
        return over_limit(request, error)
    table = found.table
    values = [row.values for row in table.rows] + ([table.total] if table.total and table.rows else [])
    rows = ([column.filed(one) for column, one in zip(table.columns, line, strict=True)] for line in values)
    head = [column.file_label for column in table.columns]
    content = spreadsheets.write_table(file_format, found.title, head, rows)
    file_name = f"steppergo-{found.key}-{scope.first}-{scope.last}.{file_format}"
    return file_response(File(file_name, spreadsheets.CONTENT_TYPES[file_format], content))


def tabs_of(user: Any) -> list[tuple[str, Entry]]:
    """Return the reports that somebody may see, by their names."""
    return [(name, entry) for name, entry in REPORTS.items() if entry.is_for(user)]


def read_report(user: User, name: str, scope: Scope) -> Report:
    """Read a report for staff.

    Raises:
        NotPermitted: auth.forbidden
        KeyError: there is no such report
        TooManyRequests: more than 60 in a minute
    """
    entry = REPORTS[name]
    for permission in SECTION.permissions:
        user.require_staff(permission)
    if not entry.is_for(user):
        raise NotPermitted("auth.forbidden", _("Only staff can do this."))
    limits.spend("reports", user.pk, most=_PER_MIN)
    return entry.build(scope, sees_money=user.has_perm(MONEY))


def _read(request: HttpRequest, name: str) -> tuple[Report, Scope]:
    user: Any = request.user
    if name not in REPORTS:
        raise Http404
    if not REPORTS[name].is_for(user):
        raise PermissionDenied
    scope = parse_scope(request.GET, day_of(database_now()))
    if REPORTS[name].names_drivers:
        looked_at_list(request, "drivers.driver")
    return read_report(user, name, scope), scope


def _places(scope: Scope) -> list[tuple[str, str]]:
    """Return the places of the days as (value, name), those that began in no town last."""
    slugs = set(TripDay.objects.filter(**scope.of_days()).order_by().values_list("place", flat=True).distinct())
    if scope.place is not None:
        slugs.add(scope.place)
    named = Towns().named(slug for slug in slugs if slug)
    return named + ([(NO_TOWN, pgettext("place", "Elsewhere"))] if "" in slugs else [])


def _quick(scope: Scope) -> list[tuple[Any, str, bool]]:
    """Return the links to the last days as (words, query, is shown)."""
    today = day_of(database_now())
    found: list[tuple[Any, str, bool]] = []
    for days in QUICK_DAYS:
        one = Scope(today - (days - 1) * DAY, today, scope.vehicle_class, scope.place)
        words = _("Today") if days == 1 else _("%(days)d days") % {"days": days}
        found.append((words, one.query, one == scope))
    yesterday = Scope(today - DAY, today - DAY, scope.vehicle_class, scope.place)
    found.insert(1, (_("Yesterday"), yesterday.query, yesterday == scope))
    return found
