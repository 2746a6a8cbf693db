"""Where somebody is signed in, signing out there, and entering the password once more for it."""

from typing import Any
from urllib.parse import urlencode

from django import forms
from django.contrib import messages
from django.contrib.auth import logout
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from stepper.accounts import codes, confirmation, passkey_proofs, sessions, sign_in
from stepper.accounts.code_stage import CodeField, PasskeyField, describe_code
from stepper.accounts.devices import describe_device
from stepper.accounts.views import clear_site_data
from stepper.errors import DomainError, NotFound
from stepper.models import AccountSession, User
from stepper.web.confirmation import is_ours, resolve_home
from stepper.web.refusals import with_retry_after
from stepper.web.requests import SignedInRequest

# More than anybody looks through; the rest is counted, and can be ended together.
SHOWN = 30


class ConfirmForm(forms.Form):
    password = forms.CharField(
        label=gettext_lazy("Your password"),
        max_length=1024,
        strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "current-password"}),
    )
    code = CodeField(
        label=gettext_lazy("Code"),
        required=False,
        help_text=gettext_lazy("From your authenticator app. Without your phone: a recovery code."),
    )
    passkey = PasskeyField()
    next = forms.CharField(required=False, widget=forms.HiddenInput)

    def __init__(self, user: User, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if codes.has_second_factor(user):
            describe_code(self.fields["code"], user)
        else:
            del self.fields["code"], self.fields["passkey"]


@never_cache
@sensitive_post_parameters("password", "code", "passkey")
@require_http_methods(["GET", "HEAD", "POST"])
@login_required
def confirm(request: SignedInRequest) -> HttpResponse:
    """Ask for the password, and the second factor; note that they were right, and lead back."""
    wanted = request.POST.get("next") or request.GET.get("next", "")
    back = wanted if is_ours(request, wanted) else resolve_home()
    if confirmation.confirms_by_code(request.user):
        return redirect(f"{reverse('stepper:phone-confirm')}?{urlencode({'next': back})}")
    if not request.user.has_usable_password():
        return render(request, "account/password_none.html", status=403)
    form = ConfirmForm(request.user, request.POST if request.method == "POST" else None, initial={"next": back})
    if request.method != "POST":
        return _confirm_page(request, form, 200)
    refusal = None
    if form.is_valid():
        try:
            given = {name: form.cleaned_data.get(name, "") for name in ("password", "code", "passkey")}
            confirmation.confirm(request, request.session, request.user, **given)
        except DomainError as error:
            refusal = error
            form.add_error(next(iter(error.fields), None), error.reasons)
        else:
            # Whoever had the key until now has not entered the password.
            request.session.cycle_key()
            # Not by `redirect`, which takes an address without a slash for the name of a view.
            return HttpResponseRedirect(back)
    status = refusal.status if refusal is not None else 422
    return with_retry_after(_confirm_page(request, form, status), refusal)


def _confirm_page(request: SignedInRequest, form: ConfirmForm, status: int) -> HttpResponse:
    context = {"form": form, "passkey_request": passkey_proofs.make_request(request.user)}
    return render(request, "account/confirm.html", context, status=status)


@never_cache
@require_safe
@login_required
def listing(request: SignedInRequest) -> HttpResponse:
    """Show where the account is signed in, the session of this page first."""
    found = sessions.sessions_of(request.user)
    rows = [_shown(row) for row in found.exclude(session_id=request.session.session_key)[: SHOWN + 1]]
    here = found.filter(session_id=request.session.session_key).first()
    context = {
        "here": _shown(here) if here is not None else None,
        "others": rows[:SHOWN],
        "has_more": len(rows) > SHOWN,
        "is_confirmed": confirmation.is_confirmed(request.session, request.user, opens_form=True),
    }
    return render(request, "account/sessions.html", context)


def _shown(row: AccountSession) -> dict[str, Any]:
    return {"row": row, "device": describe_device(row.user_agent, is_program=row.is_program)}


@require_POST
@login_required
def end(request: SignedInRequest, session_id: int) -> HttpResponse:
    """End one session."""
    try:
        sessions.end_session(request.user, request.session, session_id)
    except NotFound as error:
        # Pressed twice, or on two devices.
        messages.info(request, str(error.message))
    else:
        messages.success(request, _("Signed out there."))
    return redirect("stepper:sessions")


@require_POST
@login_required
def end_others(request: SignedInRequest) -> HttpResponse:
    """Sign out everywhere but here."""
    sessions.end_other_sessions(request.user, request.session)
    messages.success(request, _("Signed out everywhere else."))
    response = redirect("stepper:sessions")
    # What it was known by ended with the other sessions.
    request.user.refresh_from_db(fields=["session_binding"])
    sign_in.remember_device(request, response, request.user)
    return response


@require_POST
@login_required
def end_all(request: SignedInRequest) -> HttpResponse:
    """Sign out everywhere, here too."""
    sessions.end_all_sessions(request.user, request.session)
    logout(request)
    messages.success(request, _("Signed out everywhere."))
    return clear_site_data(redirect("account_login"))
