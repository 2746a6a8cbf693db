"""The front door."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import path
from django.views.decorators.http import require_safe

from drivers.models import Driver
from stepper.accounts import (
    address_pages,
    own_phone_pages,
    passkey_pages,
    phone_pages,
    second_factor_pages,
    session_pages,
)
from stepper.models import ServiceSettings
from stepper.ops.sections import sections_of
from stepper.personal import pages as personal
from stepper.web import health, installation, languages
from trips.views import trip_at_hand

app_name = "stepper"


@require_safe
def home(request: HttpRequest) -> HttpResponse:
    """Show the landing page; people who are signed in go where they work."""
    if not request.user.is_authenticated:
        return render(request, "stepper/landing.html")
    if Driver.objects.filter(user=request.user).exists():
        return redirect("drivers:dashboard")
    # The installed application opens with the trip that is at hand.
    at_hand = trip_at_hand(request.user) if "start" in request.GET else None
    if at_hand:
        return redirect("trips:detail", at_hand.pk)
    return redirect("ops:room" if sections_of(request.user) else "trips:list")


@require_safe
def show_help(request: HttpRequest) -> HttpResponse:
    """Show how the company's staff are reached, to everybody; what else helps where they have entered no contact."""
    current = ServiceSettings.current()
    context = {"support": current.support, "emergency_number": current.emergency_number}
    return render(request, "stepper/help.html", context)


@require_safe
def show_privacy(request: HttpRequest) -> HttpResponse:
    """Say what is kept about people, for how long by the settings, and how to have it and be rid of it."""
    return render(request, "stepper/privacy.html", {"service": ServiceSettings.current()})


urlpatterns = [
    path("", home, name="home"),
    path("help/", show_help, name="help"),
    path("privacy/", show_privacy, name="privacy"),
    path("language/", languages.choose, name="language-choose"),
    path("account/", address_pages.account, name="account"),
    path("account/name/", address_pages.rename, name="account-rename"),
    path("account/e-mail/", address_pages.prove, name="address-prove"),
    path("account/export/", personal.export, name="account-export"),
    path("account/erase/", personal.erase, name="account-erase"),
    path("accounts/", address_pages.moved, name="account-old"),
    path("accounts/e-mail/code/", address_pages.code, name="address-code"),
    path("accounts/e-mail/<str:token>/", address_pages.confirm, name="address-confirm"),
    path("accounts/sign-in/phone/", phone_pages.sign_in, name="phone-sign-in"),
    path("accounts/phone/", own_phone_pages.change, name="phone"),
    path("accounts/phone/code/", own_phone_pages.confirm, name="phone-confirm"),
    path("accounts/confirm/", session_pages.confirm, name="confirm"),
    path("accounts/sessions/", session_pages.listing, name="sessions"),
    path("accounts/sessions/end-others/", session_pages.end_others, name="sessions-end-others"),
    path("accounts/sessions/end-all/", session_pages.end_all, name="sessions-end-all"),
    path("accounts/sessions/<row:session_id>/end/", session_pages.end, name="session-end"),
    path("accounts/two-step/", second_factor_pages.overview, name="second-factor"),
    path("accounts/two-step/set-up/", second_factor_pages.set_up, name="second-factor-set-up"),
    path("accounts/two-step/recovery-codes/", second_factor_pages.renew_codes, name="recovery-codes-renew"),
    path("accounts/two-step/turn-off/", second_factor_pages.turn_off, name="second-factor-turn-off"),
    path("accounts/two-step/app/remove/", second_factor_pages.remove_app, name="second-factor-remove-app"),
    path("accounts/two-step/passkeys/", passkey_pages.listing, name="passkeys"),
    path("accounts/two-step/passkeys/add/", passkey_pages.add, name="passkey-add"),
    path("accounts/two-step/passkeys/<row:passkey_id>/", passkey_pages.edit, name="passkey"),
    path("accounts/two-step/passkeys/<row:passkey_id>/remove/", passkey_pages.remove, name="passkey-remove"),
    path("manifest.webmanifest", installation.manifest, name="manifest"),
    path("sw.js", installation.service_worker, name="service-worker"),
    path("offline/", installation.offline, name="offline"),
    path("health/live/", health.live, name="health-live"),
    path("health/ready/", health.ready, name="health-ready"),
]
