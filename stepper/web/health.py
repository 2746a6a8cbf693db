"""The health checks, for whatever host a probe names: Kubernetes and load balancers name the address of the server."""

import threading
import time
from collections.abc import Callable

from django.conf import settings
from django.db import DatabaseError
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils.deprecation import MiddlewareMixin
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from realtime.models import ServerBeat
from stepper.server import readiness
from stepper.server.request_limits import REFUSAL

SHARED_S = 2.0


@never_cache
@require_safe
def live(request: HttpRequest) -> JsonResponse:
    """Answer that the process runs."""
    return JsonResponse({"status": "ok"})


@never_cache
@require_safe
def ready(request: HttpRequest) -> JsonResponse:
    """Check that the process can do its work; `codes` says what is wrong, 503 that it should get no requests.

    Without Redis the status is `degraded` and 200: every server would be taken out of the proxy at the same time, and
    who is signed in can go on.
    """
    failed = _shared.failed_checks()
    names = ["database", "migrations", "dispatcher", *(["redis"] if settings.REDIS_URL else [])]
    codes = [code for name in names for code in failed.get(name, ())]
    must_wait = failed.keys() - {"redis"}
    status = "failed" if must_wait else "degraded" if failed else "ok"
    checks = {name: "failed" if name in failed else "ok" for name in names}
    response = JsonResponse({"status": status, "checks": checks, "codes": codes}, status=503 if must_wait else 200)
    # An answer, not a fault: Django would log each probe of a server that is starting as an error.
    response._has_been_logged = True  # type: ignore[attr-defined]
    return response


class _Shared:
    """The outcome of the checks, shared by all probes of a moment.

    Anybody may probe, and while Redis does not even refuse a check takes PROBE_S: one thread at a time checks, the
    others answer with what was found last.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._failed: dict[str, tuple[str, ...]] | None = None
        self._known_until = 0.0

    def failed_checks(self) -> dict[str, tuple[str, ...]]:
        """Return the codes of each check that fails, as found at most SHARED_S and a check ago."""
        if time.monotonic() >= self._known_until and self._lock.acquire(blocking=self._failed is None):
            try:
                if time.monotonic() >= self._known_until:
                    self._failed = _failed_checks()
                    self._known_until = time.monotonic() + SHARED_S
            finally:
                self._lock.release()
        return self._failed or {}


_shared = _Shared()


def _failed_checks() -> dict[str, tuple[str, ...]]:
    """Return the codes of each check that fails."""
    failed: dict[str, tuple[str, ...]] = {}
    try:
        if readiness.missing_migrations():
            failed["migrations"] = ("database.unmigrated",)
        if not ServerBeat.objects.is_any_alive():
            failed["dispatcher"] = ("dispatcher.silent",)
    except DatabaseError:
        # The cause is in the database's own log. Without the table of beats the database answers, unmigrated.
        if not failed:
            failed = {"database": ("database.away",), "migrations": (), "dispatcher": ()}
        else:
            failed["dispatcher"] = ("dispatcher.silent",)
    if settings.REDIS_URL:
        try:
            readiness.require_redis(readiness.PROBE_S)
        except readiness.NotReady:
            failed["redis"] = ("redis.away", "sign_in.unavailable")
    return failed


PATHS: dict[str, Callable[[HttpRequest], HttpResponse]] = {"/health/live/": live, "/health/ready/": ready}


class HealthMiddleware(MiddlewareMixin):
    """Answer the health checks before a middleware asks whether the request's host is one of ALLOWED_HOSTS."""

    def process_request(self, request: HttpRequest) -> HttpResponse | None:
        view = PATHS.get(request.path_info)
        if view is None or getattr(request, "scope", {}).get(REFUSAL):
            return None
        return view(request)
