"""The receipt of a completed trip, as a page and as a file."""

from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from stepper.errors import DomainError, NotFound, TooManyRequests
from stepper.web.downloads import file_response
from stepper.web.refusals import over_limit
from stepper.web.requests import SignedInRequest

from . import receipts


@never_cache
@require_safe
@login_required
def receipt(request: SignedInRequest, trip_id: int) -> HttpResponse:
    try:
        found = receipts.read_receipt(request.user, trip_id)
    except DomainError as error:
        return _refuse(request, trip_id, error)
    return render(request, "trips/receipt.html", {"receipt": found})


@never_cache
@require_safe
@login_required
def receipt_pdf(request: SignedInRequest, trip_id: int) -> HttpResponse:
    """Send the receipt as a file, in the language of the page."""
    try:
        return file_response(receipts.write_pdf(request.user, trip_id))
    except DomainError as error:
        return _refuse(request, trip_id, error)


def _refuse(request: SignedInRequest, trip_id: int, error: DomainError) -> HttpResponse:
    if isinstance(error, NotFound):
        raise Http404 from error
    if isinstance(error, TooManyRequests):
        return over_limit(request, error)
    return render(request, "trips/receipt_refused.html", {"refusal": error, "trip_id": trip_id}, status=error.status)
