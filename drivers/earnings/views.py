"""The earnings page, further pages of its trips, and the statements of a month as files."""

from zoneinfo import ZoneInfo

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET
from django.views.decorators.vary import vary_on_headers

from drivers.models import Driver
from drivers.views import driver_required
from stepper.db.clock import database_now
from stepper.errors import InvalidInput, NotFound, TooManyRequests
from stepper.web.downloads import file_response
from stepper.web.refusals import over_limit
from stepper.web.requests import SignedInRequest

from . import listing, periods, statements
from .page import EarningsPage


@never_cache
@vary_on_headers("HX-Request")
@require_GET
@driver_required
def earnings(request: SignedInRequest, driver: Driver) -> HttpResponse:
    """Show a period; for htmx with `before` the next page of its trips."""
    now = database_now()
    try:
        period = periods.requested(request.GET, ZoneInfo(driver.timezone), now)
        page = EarningsPage(driver, period, now)
        if before := request.GET.get("before"):
            page.trips = listing.page(driver.pk, period, before)
    except InvalidInput as error:
        return _refuse(request, error)
    except NotFound as error:
        raise Http404 from error
    name = "more" if before and request.htmx else "page"
    return render(request, f"drivers/earnings/{name}.html", {"earnings": page, "board": page.board})


@never_cache
@require_GET
@driver_required
def statement(request: SignedInRequest, driver: Driver, file_format: str) -> HttpResponse:
    """Send the statement of a month as a file, in the language of the page."""
    try:
        found = statements.read_statement(driver, request.GET.get("month", ""))
        file = statements.write(found, file_format)
    except NotFound as error:
        raise Http404 from error
    except TooManyRequests as error:
        return over_limit(request, error)
    except InvalidInput as error:
        return _refuse(request, error)
    return file_response(file)


def _refuse(request: HttpRequest, error: InvalidInput) -> HttpResponse:
    return render(request, "drivers/earnings/refused.html", {"refusal": error}, status=error.status)
