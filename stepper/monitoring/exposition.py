"""The figures in Prometheus' text format: at /metrics behind a token, and on a port of their own.

Each process has its own figures. Who scrapes several asks each of them, and adds up.
"""

import hmac
import logging
from typing import Any
from wsgiref.simple_server import WSGIServer

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.utils.deprecation import MiddlewareMixin
from prometheus_client import exposition

from stepper.monitoring.collecting import Everything
from stepper.server.request_limits import REFUSAL

logger = logging.getLogger("stepper.monitoring")

PATH = "/metrics"


def render(accept: str) -> tuple[bytes, str]:
    """Return the figures and their content type, in the newest form that the client takes."""
    encode, content_type = exposition.choose_encoder(accept)
    everything: Any = Everything()
    return encode(everything), content_type


class MetricsMiddleware(MiddlewareMixin):
    """Answer /metrics to whoever has the token, whatever host they name; without METRICS_TOKEN there is none."""

    def process_request(self, request: HttpRequest) -> HttpResponse | None:
        token: str = settings.METRICS_TOKEN
        if request.path_info != PATH or not token or getattr(request, "scope", {}).get(REFUSAL):
            return None
        given = request.headers.get("Authorization", "")
        if not hmac.compare_digest(given.encode(errors="replace"), f"Bearer {token}".encode()):
            return HttpResponse(status=401, headers={"WWW-Authenticate": "Bearer", "Cache-Control": "no-store"})
        if request.method not in {"GET", "HEAD"}:
            return HttpResponse(status=405, headers={"Allow": "GET, HEAD"})
        body, content_type = render(request.headers.get("Accept", ""))
        return HttpResponse(body, content_type=content_type, headers={"Cache-Control": "no-store"})


class MetricsPort:
    """The port of its own, served by threads of this process; closed unless METRICS_PORT names one."""

    def __init__(self) -> None:
        self._server: WSGIServer | None = None

    def open(self) -> None:
        """Serve the figures. A port that is in use is logged: the process works without being watched."""
        if not settings.METRICS_PORT or self._server is not None:
            return
        everything: Any = Everything()
        try:
            self._server, _thread = exposition.start_http_server(
                settings.METRICS_PORT, addr=settings.METRICS_HOST, registry=everything
            )
        except OSError as error:
            address = f"{settings.METRICS_HOST}:{settings.METRICS_PORT}"
            logger.error("the figures are not served at %s: %s", address, error.strerror)

    def close(self) -> None:
        server, self._server = self._server, None
        if server is not None:
            server.shutdown()
            server.server_close()


metrics_port = MetricsPort()
