"""Staying signed in: what the warning on a page of the operations room sends when its button is pressed."""

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST


@never_cache
@require_POST
@login_required
def stay(_request: HttpRequest) -> HttpResponse:
    """Do nothing: the request itself is the activity."""
    return HttpResponse(status=204)
