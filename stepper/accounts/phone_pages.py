"""Signing in and up by phone: one page that asks for the number, then the code, then the name of who is new.

Until the code is right the page is the same whether the number has an account or not. Who is signed in goes through
allauth's steps of a sign-in: a deactivated account, a second factor, the device that is remembered.
"""

from typing import Any

from allauth.account.internal.flows.login import perform_login, record_authentication
from allauth.account.internal.flows.signup import complete_signup
from allauth.account.models import Login
from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect, render
from django.utils.translation import get_language, gettext_lazy
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods

from stepper.accounts import confirmation, phone_codes, phone_proofs
from stepper.accounts.phone_process import PhoneCodeProcess
from stepper.errors import DomainError, NotPermitted
from stepper.models import PhonePurpose, User
from stepper.phones import EXAMPLE_PHONE
from stepper.sms import sending
from stepper.texts import PlainTextInput
from stepper.web.confirmation import is_ours, resolve_home
from stepper.web.refusals import add_refusal, with_retry_after

SIGN_IN = PhonePurpose.SIGN_IN.value


class PhoneForm(forms.Form):
    phone = forms.CharField(
        label=gettext_lazy("Phone"),
        max_length=40,
        widget=forms.TextInput(
            attrs={
                "type": "tel",
                "autocomplete": "tel",
                "inputmode": "tel",
                "placeholder": EXAMPLE_PHONE,
                "data-testid": "phone-input",
            }
        ),
    )
    next = forms.CharField(required=False, widget=forms.HiddenInput)


class SmsCodeForm(forms.Form):
    code = forms.CharField(
        label=gettext_lazy("Code from the SMS"),
        max_length=12,
        widget=forms.TextInput(
            attrs={
                "autocomplete": "one-time-code",
                "inputmode": "numeric",
                "data-testid": "code-input",
            }
        ),
    )

    def clean_code(self) -> str:
        """Take the digits as they are read aloud, with spaces between."""
        code = "".join(str(self.cleaned_data["code"]).split()).replace("-", "")
        if not (code.isascii() and code.isdecimal() and len(code) == phone_codes.CODE_DIGITS):
            raise forms.ValidationError(_("The code has six digits."), code="invalid")
        return code


class NameForm(forms.Form):
    name = PlainTextInput(
        label=gettext_lazy("Your name"),
        max_length=80,
        widget=forms.TextInput(attrs={"autocomplete": "name", "data-testid": "name-input"}),
    )

    def clean_name(self) -> str:
        return " ".join(self.cleaned_data["name"].split())


@never_cache
@sensitive_post_parameters("code")
@require_http_methods(["GET", "HEAD", "POST"])
def sign_in(request: HttpRequest) -> HttpResponse:
    """Show the step that comes next, and take what was entered in one."""
    if not sending.is_offered():
        return render(request, "account/phone_not_offered.html", status=404)
    if request.user.is_authenticated:
        return HttpResponseRedirect(_back(request, request.GET.get("next", "")))
    process = PhoneCodeProcess.resume(request.session, SIGN_IN)
    step = request.POST.get("step")
    if step == "phone" or (step == "again" and process is not None):
        return _send(request, process if step == "again" else None)
    if step == "code" and process is not None and not process.is_proven:
        return _take_code(request, process)
    if step == "name" and process is not None and process.is_proven:
        return _take_name(request, process)
    if step == "other" and process is not None:
        process.abort()
        return redirect("stepper:phone-sign-in")
    if step is not None:
        messages.info(request, _("That took too long. Please begin again."))
    if process is None or "next" in request.GET:
        return _page(request, PhoneForm(initial={"next": _back(request, request.GET.get("next", ""))}))
    return _page(request, NameForm() if process.is_proven else SmsCodeForm(), process)


def _back(request: HttpRequest, wanted: str) -> str:
    return wanted if is_ours(request, wanted) else resolve_home()


def _send(request: HttpRequest, process: PhoneCodeProcess | None) -> HttpResponse:
    """Send a code to the number that was entered, or once more to the one before."""
    form: forms.Form
    if process is not None:
        form, text, back = SmsCodeForm(), process.phone, str(process.state.get("next", ""))
    else:
        form = PhoneForm(request.POST)
        if not form.is_valid():
            return _page(request, form, status=422)
        text, back = form.cleaned_data["phone"], form.cleaned_data["next"]
    try:
        sent = phone_codes.send(request, phone_codes.read_phone(text), PhonePurpose.SIGN_IN)
    except DomainError as error:
        return _refuse(request, form, error, process)
    PhoneCodeProcess.start(request.session, SIGN_IN, sent, next=_back(request, back))
    return redirect("stepper:phone-sign-in")


def _take_code(request: HttpRequest, process: PhoneCodeProcess) -> HttpResponse:
    """Sign in to the account whose number the code proves, or ask for a name where there is none yet."""
    form = SmsCodeForm(request.POST)
    if not form.is_valid():
        return _page(request, form, process, status=422)
    try:
        phone = phone_codes.check(process.token, form.cleaned_data["code"], PhonePurpose.SIGN_IN)
        user = User.objects.filter(phone=phone).first()
        if user is None:
            process.note_proven()
            return redirect("stepper:phone-sign-in")
        return _open(request, process, user)
    except NotPermitted as error:
        return _lead_to_password(request, error)
    except DomainError as error:
        return _refuse(request, form, error, process)


def _take_name(request: HttpRequest, process: PhoneCodeProcess) -> HttpResponse:
    """Make the account of a number that was proved."""
    form = NameForm(request.POST)
    if not form.is_valid():
        return _page(request, form, process, status=422)
    user, is_new = phone_proofs.sign_up(process.phone, form.cleaned_data["name"], language=get_language() or "")
    try:
        if not is_new:
            return _open(request, process, user)
    except NotPermitted as error:
        return _lead_to_password(request, error)
    process.abort()
    record_authentication(request, user, method="code", phone=process.phone)
    response: HttpResponse = complete_signup(request, user=user, redirect_url=process.state.get("next"))
    return response


def _open(request: HttpRequest, process: PhoneCodeProcess, user: User) -> HttpResponse:
    """Sign in to an account whose number was proved just now. Raises NotPermitted: auth.staff_by_password."""
    process.abort()
    phone_proofs.require_no_staff(user)
    if user.is_active and phone_proofs.prove(user.pk, process.phone):
        messages.warning(
            request,
            _("Your number is confirmed now. Password and e-mail from before no longer open this account."),
        )
    user = User.objects.get(pk=user.pk)
    record_authentication(request, user, method="code", phone=process.phone)
    response: HttpResponse = perform_login(request, Login(user=user, redirect_url=process.state.get("next")))
    # Where a second factor comes next there is no session yet.
    if request.user.is_authenticated:
        confirmation.forget_unless_by_code(request.session, user)
    return response


def _lead_to_password(request: HttpRequest, error: NotPermitted) -> HttpResponse:
    """Lead to the sign-in with a password, and say why: a member of staff, or deactivated just now."""
    messages.error(request, str(error.message))
    return redirect("account_login")


def empty_form(kind: type[forms.Form]) -> forms.Form:
    """Return a form that can hold an error though nothing was entered."""
    form = kind({})
    form.errors.clear()
    return form


def _refuse(
    request: HttpRequest, form: forms.Form, error: DomainError, process: PhoneCodeProcess | None
) -> HttpResponse:
    """Show why it was refused, at the step where it was."""
    if not form.is_bound:
        # Sending once more: there is nothing to add an error to yet.
        form = empty_form(type(form))
    add_refusal(form, error)
    return with_retry_after(_page(request, form, process, status=error.status), error)


def _page(
    request: HttpRequest, form: forms.Form, process: PhoneCodeProcess | None = None, *, status: int = 200
) -> HttpResponse:
    step = {PhoneForm: "phone", SmsCodeForm: "code", NameForm: "name"}[type(form)]
    phone = process.phone if process is not None else ""
    context: dict[str, Any] = {"form": form, "step": step, "phone": phone, "process": process}
    return render(request, "account/phone_sign_in.html", context, status=status)
