"""The account page: what an account is called, how it signs in, and changing its e-mail address."""

from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse, HttpResponsePermanentRedirect
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST

from stepper.accounts import addresses, profile
from stepper.accounts.addresses import Proof
from stepper.accounts.confirmation import ConfirmationRequired, is_confirmed
from stepper.errors import DomainError, TooManyRequests
from stepper.mail import sending
from stepper.web.refusals import add_refusal, over_limit, tell, with_retry_after
from stepper.web.requests import SignedInRequest


class AddressForm(forms.Form):
    """A new address, and the password or the code that proves who asks."""

    email = forms.CharField(
        label=gettext_lazy("New e-mail"),
        max_length=254,
        widget=forms.EmailInput(attrs={"autocomplete": "email", "autocapitalize": "none"}),
    )
    proof = forms.CharField(max_length=1024, strip=False)

    def __init__(self, proof: Proof, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if proof is Proof.SMS:
            # The session was confirmed by it before.
            del self.fields["proof"]
            return
        field = self.fields["proof"]
        if proof is Proof.PASSWORD:
            field.label = _("Your password")
            field.widget = forms.PasswordInput(attrs={"autocomplete": "current-password"})
        else:
            field.label = _("Code from the mail")
            field.widget = forms.TextInput(attrs={"autocomplete": "one-time-code", "inputmode": "numeric"})


class NameForm(forms.Form):
    name = forms.CharField(
        label=gettext_lazy("Your name"), max_length=80, widget=forms.TextInput(attrs={"autocomplete": "name"})
    )


@never_cache
@sensitive_post_parameters("proof")
@require_http_methods(["GET", "HEAD", "POST"])
@login_required
def account(request: SignedInRequest) -> HttpResponse:
    """Show address and phone of the account, and the form that asks for another address."""
    proof = addresses.proof_of(request.user)
    form = AddressForm(proof, request.POST if request.method == "POST" else None)
    status = 200
    if request.method == "POST":
        status = 422
        if form.is_valid():
            try:
                email = form.cleaned_data["email"]
                base = sending.base_url(request) if sending.is_offered() else ""
                proof_given = form.cleaned_data.get("proof", "")
                addresses.request_change(request, request.user, email=email, proof=proof_given, base_url=base)
            except ConfirmationRequired:
                raise
            except DomainError as error:
                add_refusal(form, error)
                status = error.status
                retry_after_s = error.retry_after_s if isinstance(error, TooManyRequests) else None
                return _page(request, form, proof=proof, status=status, retry_after_s=retry_after_s)
            messages.success(request, _("We sent a link to %(email)s. Open it to confirm.") % {"email": email})
            return redirect("stepper:account")
    return _page(request, form, proof=proof, status=status)


def _page(
    request: SignedInRequest,
    form: AddressForm,
    *,
    proof: Proof,
    status: int,
    retry_after_s: int | None = None,
    name_form: NameForm | None = None,
) -> HttpResponse:
    context = {
        "form": form,
        "proof": proof.value,
        "is_confirmed": is_confirmed(request.session, request.user, opens_form=True),
        "pending": addresses.pending_change(request.user),
        "email_is_proven": addresses.is_proven(request.user),
        "name_form": name_form or NameForm(initial={"name": request.user.name}),
        "may_rename": profile.may_rename(request.user),
    }
    response = render(request, "account/account.html", context, status=status)
    if retry_after_s is not None:
        response["Retry-After"] = str(retry_after_s)
    return response


@require_POST
@login_required
def rename(request: SignedInRequest) -> HttpResponse:
    """Store another name."""
    form = NameForm(request.POST)
    refusal: DomainError | None = None
    if form.is_valid():
        try:
            profile.rename(request.user, form.cleaned_data["name"])
        except DomainError as error:
            add_refusal(form, error)
            refusal = error
        else:
            messages.success(request, _("Saved."))
            return redirect("stepper:account")
    proof = addresses.proof_of(request.user)
    response = _page(request, AddressForm(proof), proof=proof, status=422, name_form=form)
    return with_retry_after(response, refusal)


@require_POST
@login_required
def prove(request: SignedInRequest) -> HttpResponse:
    """Send a link to the present address."""
    try:
        base = sending.base_url(request) if sending.is_offered() else ""
        addresses.request_proof(request.user, base_url=base)
    except TooManyRequests as error:
        return over_limit(request, error)
    except DomainError as error:
        tell(request, error)
    else:
        messages.success(request, _("We sent a link to %(email)s. Open it to confirm.") % {"email": request.user.email})
    return redirect("stepper:account")


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def moved(request: HttpRequest) -> HttpResponse:
    """Lead from the page's earlier address to the present one; what an open page of that release sends is kept."""
    return HttpResponsePermanentRedirect(reverse("stepper:account"), preserve_request=request.method == "POST")


@require_POST
@login_required
def code(request: SignedInRequest) -> HttpResponse:
    """Send a code to the present address of an account without a password."""
    try:
        addresses.send_code(request.user)
    except DomainError as error:
        tell(request, error)
    else:
        messages.success(request, _("We sent a code to %(email)s.") % {"email": request.user.email})
    return redirect("stepper:account")


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@login_required
def confirm(request: SignedInRequest, token: str) -> HttpResponse:
    """Show the page that the mail's link leads to. A button confirms: programs that look into mails open links, too."""
    if request.method == "POST":
        old_email = request.user.email
        try:
            user = addresses.confirm_change(request.user, token)
        except DomainError as error:
            return render(request, "account/address_refused.html", {"error": error}, status=error.status)
        is_new = user.email != old_email
        messages.success(request, _("Your e-mail is changed.") if is_new else _("Your e-mail is confirmed."))
        return redirect("stepper:account")
    change = addresses.change_of_link(request.user, token)
    if change is None:
        return render(request, "account/address_refused.html", status=409)
    return render(request, "account/address_confirm.html", {"change": change})
