"""The pages of one's passkeys: the list, adding one, its name, removing it."""

from typing import Any

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

from stepper.accounts import codes, passkey_proofs, passkeys
from stepper.accounts.code_stage import PasskeyField
from stepper.accounts.confirmation import is_confirmed, require_confirmed
from stepper.accounts.second_factor_pages import lead_back, show_first_codes
from stepper.errors import Conflict, DomainError, InvalidInput, NotFound, TooManyRequests
from stepper.web.refusals import add_refusal, with_retry_after
from stepper.web.requests import SignedInRequest


class NameForm(forms.Form):
    name = forms.CharField(label=gettext_lazy("Name of the passkey"), max_length=passkeys.NAME_LENGTH)


class AddForm(forms.Form):
    name = forms.CharField(
        label=gettext_lazy("Name of the passkey"),
        max_length=passkeys.NAME_LENGTH,
        required=False,
        help_text=gettext_lazy("So that you know it again, such as: phone, laptop, key on the key ring."),
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
    )
    passkey = PasskeyField()


@never_cache
@require_safe
@login_required
def listing(request: SignedInRequest) -> HttpResponse:
    """Show the account's passkeys, and lead to adding one."""
    rows = [row.wrap() for row in passkeys.passkeys_of(request.user)]
    is_offered = passkey_proofs.are_offered()
    if not (rows or is_offered):
        return lead_back(request, passkeys.not_offered())
    context = {"passkeys": rows, "is_offered": is_offered, "has_room": len(rows) < passkeys.MOST}
    return render(request, "account/passkeys.html", context)


@never_cache
@sensitive_post_parameters("passkey")
@require_http_methods(["GET", "HEAD", "POST"])
@login_required
def add(request: SignedInRequest) -> HttpResponse:
    """Have the browser make a passkey, and store it."""
    form = AddForm(request.POST if request.method == "POST" else None)
    refusal: DomainError | None = None
    try:
        if form.is_valid():
            name, answer = form.cleaned_data["name"], form.cleaned_data["passkey"]
            recovery_codes = passkeys.add(request.user, request.session, name=name, answer=answer)
            return show_first_codes(request, recovery_codes, _("The passkey is added."))
    except Conflict as error:
        return lead_back(request, error)
    except (InvalidInput, TooManyRequests) as error:
        refusal = error
        add_refusal(form, error)
    try:
        offered = passkeys.offer(request.user, request.session)
    except Conflict as error:
        return lead_back(request, error)
    context = {"form": form, "offered": offered, "is_on": codes.has_second_factor(request.user)}
    response = render(request, "account/passkey_add.html", context, status=422 if form.errors else 200)
    return with_retry_after(response, refusal)


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@login_required
def edit(request: SignedInRequest, passkey_id: int) -> HttpResponse:
    """Show one passkey, and store another name for it."""
    try:
        row = passkeys.find(request.user, passkey_id)
    except NotFound as error:
        return _lead_to_list(request, error)
    form = NameForm(request.POST if request.method == "POST" else None, initial={"name": row.wrap().name})
    if request.method != "POST":
        require_confirmed(request.session, request.user, opens_form=True)
    elif form.is_valid():
        try:
            passkeys.rename(request.user, request.session, passkey_id, form.cleaned_data["name"])
        except NotFound as error:
            return _lead_to_list(request, error)
        except InvalidInput as error:
            add_refusal(form, error)
        else:
            messages.success(request, _("The name is saved."))
            return redirect("stepper:passkeys")
    context: dict[str, Any] = {
        "form": form,
        "passkey": row.wrap(),
        "is_last": len(codes.factors_of(request.user)) == 1,
        "is_confirmed": is_confirmed(request.session, request.user, opens_form=True),
    }
    return render(request, "account/passkey.html", context, status=422 if form.errors else 200)


@require_POST
@login_required
def remove(request: SignedInRequest, passkey_id: int) -> HttpResponse:
    """Remove a passkey; with the last factor two-step sign-in is off."""
    try:
        is_off = passkeys.remove(request.user, request.session, passkey_id)
    except NotFound as error:
        return _lead_to_list(request, error)
    if is_off:
        messages.success(request, _("Two-step sign-in is off. You were signed out everywhere else."))
        return redirect("stepper:second-factor")
    messages.success(request, _("The passkey is removed. You were signed out everywhere else."))
    return redirect("stepper:passkeys")


def _lead_to_list(request: SignedInRequest, error: NotFound) -> HttpResponse:
    """Lead to the list, which shows how it is: pressed twice, or on two devices."""
    messages.info(request, str(error.message))
    return redirect("stepper:passkeys")
