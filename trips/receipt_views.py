"""The receipt of a completed trip, as a page and as a file."""

from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpResponse
from django.shortcuts import render
from django.utils.translation import get_language
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from stepper.errors import Conflict, NotFound, TooManyRequests
from stepper.web.refusals import over_limit
from stepper.web.requests import SignedInRequest

from . import receipts


@never_cache
@require_safe
@login_required
def receipt(request: SignedInRequest, trip_id: int) -> HttpResponse:
    try:
        found = receipts.read_receipt(request.user, trip_id)
    except NotFound as error:
        raise Http404 from error
    except Conflict as error:
        return render(request, "trips/receipt_refused.html", {"refusal": error, "trip_id": trip_id}, status=409)
    return render(request, "trips/receipt.html", {"receipt": found})


@never_cache
@require_safe
@login_required
def receipt_pdf(request: SignedInRequest, trip_id: int) -> HttpResponse:
    """Send the receipt as a file, in the language of the page."""
    try:
        content = receipts.write_pdf(request.user, trip_id)
    except NotFound as error:
        raise Http404 from error
    except Conflict as error:
        return render(request, "trips/receipt_refused.html", {"refusal": error, "trip_id": trip_id}, status=409)
    except TooManyRequests as error:
        return over_limit(request, error)
    headers = {
        "Content-Disposition": f'attachment; filename="steppergo-{trip_id}.pdf"',
        "Content-Language": get_language() or "",
    }
    return HttpResponse(content, content_type="application/pdf", headers=headers)
