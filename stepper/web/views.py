"""The front door and the health checks."""

from django.db import DatabaseError, connection
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.urls import path
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from drivers.models import Driver
from realtime.models import ServerBeat
from stepper.accounts import address_pages

app_name = "stepper"


@require_safe
def home(request: HttpRequest) -> HttpResponse:
    """Show the landing page; people who are signed in go where they work."""
    if not request.user.is_authenticated:
        return render(request, "stepper/landing.html")
    if Driver.objects.filter(user=request.user).exists():
        return redirect("drivers:dashboard")
    return redirect("trips:list")


@never_cache
@require_safe
def live(request: HttpRequest) -> JsonResponse:
    """Answer that the process runs."""
    return JsonResponse({"status": "ok"})


@never_cache
@require_safe
def ready(request: HttpRequest) -> JsonResponse:
    """Check that the process can do its work: the database answers and a dispatcher has beaten lately."""
    checks = {"database": False, "dispatcher": False}
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
        checks["database"] = True
        checks["dispatcher"] = ServerBeat.objects.is_any_alive()
    except DatabaseError:
        # What failed stays False in the answer; the cause is in the database's own log.
        pass
    ok = all(checks.values())
    words = {name: "ok" if passed else "failed" for name, passed in checks.items()}
    response = JsonResponse({"status": "ok" if ok else "failed", "checks": words}, status=200 if ok else 503)
    # An answer, not a fault: Django would log each probe of a server that is starting as an error.
    response._has_been_logged = True  # type: ignore[attr-defined]
    return response


urlpatterns = [
    path("", home, name="home"),
    path("accounts/", address_pages.account, name="account"),
    path("accounts/e-mail/code/", address_pages.code, name="address-code"),
    path("accounts/e-mail/<str:token>/", address_pages.confirm, name="address-confirm"),
    path("health/live/", live, name="health-live"),
    path("health/ready/", ready, name="health-ready"),
]
