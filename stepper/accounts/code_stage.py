"""Signing in on the page with a second factor: the code is asked for after the password, and before there is a session.

allauth keeps who is signing in, in a session that belongs to nobody yet, for 15 minutes (ACCOUNT_LOGIN_TIMEOUT).
"""

from typing import Any, cast

from allauth.account.internal.decorators import login_stage_required
from allauth.mfa.stages import AuthenticateStage
from django import forms
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext_lazy as _
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods

from stepper.accounts import sign_in
from stepper.errors import TooManyRequests
from stepper.web.refusals import with_retry_after

# In the state of a sign-in: what sessions of the account were bound to when the password was checked.
BOUND_TO = "bound_to"


class CodeField(forms.CharField):
    """A code of the app, or a recovery code."""

    def __init__(self, **kwargs: Any) -> None:
        attrs = {"autocomplete": "one-time-code", "inputmode": "numeric", "autocapitalize": "none"}
        super().__init__(max_length=20, widget=forms.TextInput(attrs=attrs), **kwargs)


class CodeForm(forms.Form):
    code = CodeField(label=_("Code"), help_text=_("From your authenticator app. Without your phone: a recovery code."))


class CodeStage(AuthenticateStage):
    """allauth's stage, which ends when the password is changed meanwhile."""

    def handle(self) -> tuple[HttpResponse | None, bool]:
        response, goes_on = super().handle()
        if response is not None:
            self.state[BOUND_TO] = self.login.user.get_session_auth_hash()
        return response, goes_on

    @property
    def has_ended(self) -> bool:
        """Whether the account was deactivated, or got another password, since the password was checked."""
        user = self.login.user
        return not user.is_active or self.state.get(BOUND_TO) != user.get_session_auth_hash()


@sensitive_post_parameters("code")
@require_http_methods(["GET", "HEAD", "POST"])
@login_stage_required(stage=CodeStage.key, redirect_urlname="account_login")
def enter_code(request: HttpRequest) -> HttpResponse:
    """Ask for the code, and sign in with the right one."""
    stage: CodeStage = request._login_stage  # type: ignore[attr-defined]
    if stage.has_ended or "cancel" in request.POST:
        return cast(HttpResponse, stage.abort())
    form = CodeForm(request.POST if request.method == "POST" else None)
    refusal, status = None, 200
    if form.is_valid():
        try:
            if sign_in.check_code(request, stage.login.user, form.cleaned_data["code"]):
                return cast(HttpResponse, stage.exit())
            form.add_error("code", _("This code is wrong or was used before. Enter the one that the app shows now."))
        except TooManyRequests as error:
            refusal = error
            form.add_error(None, str(error.message))
    if form.errors:
        status = 422
    return with_retry_after(render(request, "account/code.html", {"form": form}, status=status), refusal)
