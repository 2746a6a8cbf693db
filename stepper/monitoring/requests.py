"""What each request is counted as and known by: its id in the log and in the answer, its status."""

import re
import secrets
from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponseBase

from stepper.monitoring import figures, log_ids

HEADER = "X-Request-ID"
# What a proxy of ours may have given it; anything else would be a stranger's words in our log.
_ID = re.compile(r"[0-9A-Za-z._-]{8,64}")


class RequestMiddleware:
    """Outermost: gives each request an id, which the log carries with the rows of its address; counts answers."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        request_id = _id_of(request)
        log_ids.begin(request_id=request_id)
        response = self._get_response(request)
        figures.RESPONSES.labels(f"{response.status_code // 100}xx").inc()
        response.headers[HEADER] = request_id
        return response

    def process_view(self, request: HttpRequest, _view: Any, _args: Any, options: dict[str, Any]) -> None:
        """Note the rows that the address names."""
        named = {name: options.get(name) for name in ("trip_id", "driver_id", "offer_id")}
        log_ids.note(**{name: value for name, value in named.items() if isinstance(value, int)})


def _id_of(request: HttpRequest) -> str:
    given = request.headers.get(HEADER, "") if settings.TRUSTED_PROXIES else ""
    return given if _ID.fullmatch(given) else secrets.token_hex(8)
