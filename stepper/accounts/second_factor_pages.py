"""The pages of two-step sign-in: setting it up, recovery codes, switching it off.

What shows a secret asks for the password first (`stepper.accounts.confirmation`) and is stored by no browser.
"""

from typing import Any
from urllib.parse import quote

from allauth.mfa.models import Authenticator
from django import forms
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from stepper.accounts import codes, passkey_proofs, second_factor
from stepper.accounts.code_stage import CodeField
from stepper.accounts.confirmation import is_confirmed
from stepper.errors import Conflict, DomainError, InvalidInput, TooManyRequests
from stepper.web.refusals import with_retry_after
from stepper.web.requests import SignedInRequest


class SetUpForm(forms.Form):
    code = CodeField(label=gettext_lazy("Code that the app shows now"))


@never_cache
@require_safe
@login_required
def overview(request: SignedInRequest) -> HttpResponse:
    """Say whether two-step sign-in is on, and what can be done."""
    user = request.user
    factors = codes.factors_of(user)
    is_on = bool(factors)
    context: dict[str, Any] = {
        "is_on": is_on,
        "has_app": Authenticator.Type.TOTP in factors,
        "passkeys": factors.count(Authenticator.Type.WEBAUTHN),
        "passkeys_offered": passkey_proofs.are_offered(),
        "is_confirmed": is_confirmed(request.session, user, opens_form=True),
    }
    if is_on:
        context["codes_left"] = second_factor.count_recovery_codes(user)
    return render(request, "account/second_factor.html", context)


@never_cache
@sensitive_post_parameters("code")
@require_http_methods(["GET", "HEAD", "POST"])
@login_required
def set_up(request: SignedInRequest) -> HttpResponse:
    """Show the secret, and switch on with a code made from it."""
    form = SetUpForm(request.POST if request.method == "POST" else None)
    refusal: DomainError | None = None
    try:
        if form.is_valid():
            recovery_codes = second_factor.set_up(request.user, request.session, form.cleaned_data["code"])
            return show_first_codes(request, recovery_codes, _("The authenticator app is set up."))
    except Conflict as error:
        return lead_back(request, error)
    except (InvalidInput, TooManyRequests) as error:
        refusal = error
        form.add_error("code" if error.fields else None, error.reasons)
    try:
        offered = second_factor.offer_secret(request.user, request.session)
    except Conflict as error:
        return lead_back(request, error)
    context = {"form": form, "offered": offered}
    response = render(request, "account/second_factor_set_up.html", context, status=422 if form.errors else 200)
    return with_retry_after(response, refusal)


@never_cache
@require_POST
@login_required
def renew_codes(request: SignedInRequest) -> HttpResponse:
    """Make new recovery codes and show them, this once."""
    try:
        recovery_codes = second_factor.renew_recovery_codes(request.user, request.session)
    except Conflict as error:
        return lead_back(request, error)
    return _show_codes(request, recovery_codes, is_new=False)


@require_POST
@login_required
def turn_off(request: SignedInRequest) -> HttpResponse:
    """Switch two-step sign-in off."""
    try:
        second_factor.turn_off(request.user, request.session)
    except Conflict as error:
        return lead_back(request, error)
    messages.success(request, _("Two-step sign-in is off. You were signed out everywhere else."))
    return redirect("stepper:second-factor")


@require_POST
@login_required
def remove_app(request: SignedInRequest) -> HttpResponse:
    """Remove the authenticator app; passkeys stay."""
    try:
        second_factor.remove_app(request.user, request.session)
    except Conflict as error:
        return lead_back(request, error)
    messages.success(request, _("The authenticator app is removed. You were signed out everywhere else."))
    return redirect("stepper:second-factor")


def lead_back(request: SignedInRequest, error: Conflict) -> HttpResponse:
    """Lead to the overview, which shows how it is: pressed twice, or on two devices."""
    messages.info(request, str(error.message))
    return redirect("stepper:second-factor")


def show_first_codes(request: SignedInRequest, recovery_codes: list[str], added: str) -> HttpResponse:
    """Show the recovery codes that came with the first factor; a further one came with none: lead to the overview."""
    if recovery_codes:
        return _show_codes(request, recovery_codes, is_new=True)
    messages.success(request, added)
    return redirect("stepper:second-factor")


def _show_codes(request: SignedInRequest, recovery_codes: list[str], *, is_new: bool) -> HttpResponse:
    lines = [f"StepperGO, {request.user.email or request.user.phone}", "", *recovery_codes, ""]
    context = {"codes": recovery_codes, "is_new": is_new, "file": quote("\r\n".join(lines))}
    return render(request, "account/recovery_codes.html", context)
