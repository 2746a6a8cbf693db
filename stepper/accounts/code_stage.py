"""Signing in on the page with a second factor: it is asked for after the password, and before there is a session.

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

from stepper.accounts import codes, passkey_proofs, sign_in
from stepper.accounts.confirmation import PASSKEY_REFUSED
from stepper.errors import TooManyRequests
from stepper.models import User
from stepper.web.refusals import add_refusal, with_retry_after

# In the state of a sign-in: what sessions of the account were bound to when the password was checked.
BOUND_TO = "bound_to"


class CodeField(forms.CharField):
    """A code of the app, or a recovery code."""

    def __init__(self, **kwargs: Any) -> None:
        attrs = {"autocomplete": "one-time-code", "inputmode": "numeric", "autocapitalize": "none"}
        super().__init__(max_length=20, widget=forms.TextInput(attrs=attrs), **kwargs)


class PasskeyField(forms.CharField):
    """What the browser answered when its user chose a passkey: filled in by static/js/passkey.js."""

    def __init__(self, **kwargs: Any) -> None:
        widget = forms.HiddenInput(attrs={"data-passkey-answer": ""})
        super().__init__(required=False, max_length=passkey_proofs.MOST_CHARACTERS, widget=widget, **kwargs)


def describe_code(field: forms.Field, user: User) -> None:
    """Have a field for a code say that only recovery codes are taken, where no app is set up."""
    if not codes.has_app(user):
        field.label, field.help_text = _("Recovery code"), _("One of those that you kept.")


class CodeForm(forms.Form):
    """A code or a passkey."""

    code = CodeField(
        label=_("Code"),
        required=False,
        help_text=_("From your authenticator app. Without your phone: a recovery code."),
    )
    passkey = PasskeyField()

    def __init__(self, user: User, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        describe_code(self.fields["code"], user)

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or {}
        if not (cleaned.get("code") or cleaned.get("passkey") or self.errors):
            self.add_error("code", forms.Field.default_error_messages["required"])
        return cleaned


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


@sensitive_post_parameters("code", "passkey")
@require_http_methods(["GET", "HEAD", "POST"])
@login_stage_required(stage=CodeStage.key, redirect_urlname="account_login")
def enter_code(request: HttpRequest) -> HttpResponse:
    """Ask for a passkey or a code, and sign in with the right one."""
    stage: CodeStage = request._login_stage  # type: ignore[attr-defined]
    if stage.has_ended or "cancel" in request.POST:
        return cast(HttpResponse, stage.abort())
    user = stage.login.user
    form = CodeForm(user, request.POST if request.method == "POST" else None)
    refusal, status = None, 200
    if form.is_valid():
        try:
            code, passkey = form.cleaned_data["code"], form.cleaned_data["passkey"]
            if sign_in.check_factor(request, user, code=code, passkey=passkey):
                return cast(HttpResponse, stage.exit())
            wrong = _("This code is wrong or was used before. Enter the one that the app shows now.")
            form.add_error("code", PASSKEY_REFUSED if passkey else wrong)
        except TooManyRequests as error:
            refusal = error
            add_refusal(form, error)
    if form.errors:
        status = 422
    context = {"form": form, "passkey_request": passkey_proofs.make_request(user), "has_app": codes.has_app(user)}
    return with_retry_after(render(request, "account/code.html", context, status=status), refusal)
