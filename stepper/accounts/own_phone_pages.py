"""The pages of one's own number: proving it, or oneself by it, and changing it."""

from collections.abc import Callable
from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods

from stepper.accounts import passkey_proofs, phone_changes
from stepper.accounts.code_stage import CodeField, PasskeyField, describe_code
from stepper.accounts.confirmation import (
    ConfirmationRequired,
    NothingToConfirmWith,
    confirms_by_code,
    require_confirmed,
)
from stepper.accounts.phone_codes import Sent
from stepper.accounts.phone_pages import PhoneForm, SmsCodeForm, empty_form
from stepper.accounts.phone_process import PhoneCodeProcess
from stepper.errors import DomainError
from stepper.models import PhonePurpose, User
from stepper.sms import sending
from stepper.web.confirmation import is_ours
from stepper.web.refusals import add_refusal, with_retry_after
from stepper.web.requests import SignedInRequest

OWN, NEW = PhonePurpose.OWN.value, PhonePurpose.NEW.value


class OwnCodeForm(SmsCodeForm):
    """The code from the SMS, and that of the authenticator app where the account has one."""

    second_code = CodeField(
        label=gettext_lazy("Code of your authenticator app"),
        required=False,
        help_text=gettext_lazy("Or a recovery code."),
    )
    passkey = PasskeyField()

    def __init__(self, user: User, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not phone_changes.needs_second_code(user):
            del self.fields["second_code"], self.fields["passkey"]
        else:
            describe_code(self.fields["second_code"], user)


@never_cache
@sensitive_post_parameters("code", "second_code", "passkey")
@require_http_methods(["GET", "HEAD", "POST"])
@login_required
def confirm(request: SignedInRequest) -> HttpResponse:
    """Send a code to the account's number and take it; lead back to where it was needed."""
    if not sending.is_offered():
        return render(request, "account/phone_not_offered.html", status=404)
    if not request.user.phone:
        return redirect("stepper:phone")
    if not confirms_by_code(request.user):
        require_confirmed(request.session, request.user, opens_form=request.method != "POST")
    process = PhoneCodeProcess.resume(request.session, OWN)
    if process is not None and process.phone != request.user.phone.as_e164:
        process.abort()
        process = None
    if request.POST.get("step") == "send":
        wanted = request.POST.get("next", "")
        return _send(
            request,
            lambda: phone_changes.send_own_code(request, request.user, request.session),
            purpose=OWN,
            page=_confirm_page,
            wanted=wanted if is_ours(request, wanted) else reverse("stepper:account"),
        )
    if request.POST.get("step") == "code" and process is not None:
        form = OwnCodeForm(request.user, request.POST)
        if (refused := _take(form, lambda _code: _confirm_own(request, process, form))) is None:
            process.abort()
            # Whoever had the key until now has not entered the code.
            request.session.cycle_key()
            messages.success(request, _("Your phone number is confirmed."))
            return HttpResponseRedirect(str(process.state["next"]))
        return with_retry_after(_confirm_page(request, form, process, status=refused[0]), refused[1])
    return _confirm_page(request, OwnCodeForm(request.user), process)


def _confirm_own(request: SignedInRequest, process: PhoneCodeProcess, form: OwnCodeForm) -> None:
    second = {name: form.cleaned_data.get(name, "") for name in ("second_code", "passkey")}
    phone_changes.confirm_own(
        request, request.user, request.session, process.token, form.cleaned_data["code"], **second
    )


def _confirm_page(
    request: SignedInRequest, form: forms.Form, process: PhoneCodeProcess | None, *, status: int = 200
) -> HttpResponse:
    wanted = request.POST.get("next") or request.GET.get("next", "")
    context = {
        "form": form,
        "process": process,
        "next": wanted if is_ours(request, wanted) else "",
        "passkey_request": _make_request(request.user) if process is not None else None,
        "removes": confirms_by_code(request.user) and not request.user.has_verified_phone,
    }
    return render(request, "account/phone_confirm.html", context, status=status)


def _make_request(user: User) -> str | None:
    return passkey_proofs.make_request(user) if phone_changes.needs_second_code(user) else None


@never_cache
@sensitive_post_parameters("code")
@require_http_methods(["GET", "HEAD", "POST"])
@login_required
def change(request: SignedInRequest) -> HttpResponse:
    """Ask for another number, then for the code that was sent to it."""
    if not sending.is_offered():
        return render(request, "account/phone_not_offered.html", status=404)
    require_confirmed(request.session, request.user, opens_form=request.method != "POST")
    process = PhoneCodeProcess.resume(request.session, NEW)
    step = request.POST.get("step")
    if step == "phone":
        form = PhoneForm(request.POST)
        if not form.is_valid():
            return _change_page(request, form, None, status=422)
        text = form.cleaned_data["phone"]
        return _send(
            request,
            lambda: phone_changes.request_change(request, request.user, request.session, text),
            purpose=NEW,
            page=_change_page,
            form=form,
        )
    if step == "code" and process is not None:
        code_form = SmsCodeForm(request.POST)
        if (refused := _take(code_form, lambda code: _confirm_change(request, process, code))) is None:
            process.abort()
            messages.success(request, _("Your phone number is changed."))
            return redirect("stepper:account")
        return with_retry_after(_change_page(request, code_form, process, status=refused[0]), refused[1])
    if step == "other" and process is not None:
        process.abort()
        return redirect("stepper:phone")
    return _change_page(request, PhoneForm() if process is None else SmsCodeForm(), process)


def _confirm_change(request: SignedInRequest, process: PhoneCodeProcess, code: str) -> None:
    phone_changes.confirm_change(request.user, request.session, process.token, code)


def _change_page(
    request: SignedInRequest, form: forms.Form, process: PhoneCodeProcess | None, *, status: int = 200
) -> HttpResponse:
    return render(request, "account/phone_change.html", {"form": form, "process": process}, status=status)


def _send(
    request: SignedInRequest,
    send: Callable[[], Sent],
    *,
    purpose: str,
    page: Callable[..., HttpResponse],
    form: forms.Form | None = None,
    wanted: str = "",
) -> HttpResponse:
    """Send a code and lead to the form for it, or show why it was refused."""
    try:
        sent = send()
    except (ConfirmationRequired, NothingToConfirmWith):
        raise
    except DomainError as error:
        shown = form or empty_form(SmsCodeForm)
        add_refusal(shown, error)
        return with_retry_after(page(request, shown, None, status=error.status), error)
    PhoneCodeProcess.start(request.session, purpose, sent, next=wanted)
    return redirect(request.path)


def _take(form: forms.Form, use: Callable[[str], None]) -> tuple[int, Any] | None:
    """Use the code of a form; None: it was right. Else the status of the answer and why it was refused."""
    if not form.is_valid():
        return 422, None
    try:
        use(form.cleaned_data["code"])
    except (ConfirmationRequired, NothingToConfirmWith):
        raise
    except DomainError as error:
        add_refusal(form, error)
        return error.status, error
    return None
