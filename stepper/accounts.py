"""Sign-up and sign-in by e-mail or phone: one field, no verification step, clear errors at their fields."""

from typing import Any

from allauth.account.adapter import DefaultAccountAdapter, get_adapter
from allauth.account.forms import ChangePasswordForm as BaseChangePasswordForm
from allauth.account.forms import LoginForm as BaseLoginForm
from allauth.account.forms import SignupForm as BaseSignupForm
from allauth.account.views import LoginView as BaseLoginView
from allauth.core import context
from allauth.core.exceptions import ImmediateHttpResponse
from django import forms
from django.conf import settings
from django.db import IntegrityError, transaction
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.utils.translation import get_language_from_request
from django.utils.translation import gettext_lazy as _

from . import sign_in
from .allauth_mail import PublicMail
from .errors import TooManyRequests
from .models import User
from .sign_in import normal_phone


class PhoneField(forms.CharField):
    default_error_messages = {"invalid": _("Enter a phone number, for example +7 701 234 56 78.")}

    def clean(self, value: Any) -> str | None:
        text = super().clean(value)
        if not text:
            return None
        phone = normal_phone(text)
        if phone is None:
            raise forms.ValidationError(self.error_messages["invalid"], code="invalid")
        return phone


class AccountAdapter(PublicMail, DefaultAccountAdapter):
    error_messages = {
        **DefaultAccountAdapter.error_messages,
        "email_password_mismatch": _("This e-mail and password do not belong together."),
        "phone_password_mismatch": _("This phone number and password do not belong together."),
        "email_taken": _("There is an account with this e-mail already. Sign in instead."),
        "phone_taken": _("There is an account with this phone number already. Sign in instead."),
    }

    def phone_form_field(self, **kwargs: Any) -> PhoneField:
        attrs = {"type": "tel", "autocomplete": "tel", "inputmode": "tel"}
        return PhoneField(widget=forms.TextInput(attrs=attrs), **kwargs)

    def get_phone(self, user: Any) -> tuple[str, bool] | None:
        return (str(user.phone), user.phone_verified) if user.phone else None

    def set_phone(self, user: Any, phone: str, verified: bool) -> None:
        user.phone, user.phone_verified = phone, verified
        user.save(update_fields=["phone", "phone_verified"])

    def set_phone_verified(self, user: Any, phone: str) -> None:
        self.set_phone(user, phone, True)

    def get_user_by_phone(self, phone: str) -> User | None:
        return User.objects.filter(phone=normal_phone(phone)).first() if normal_phone(phone) else None

    def authenticate(self, request: HttpRequest, **credentials: Any) -> User | None:
        """Raises TooManyRequests."""
        email, phone = credentials.get("email") or "", credentials.get("phone") or ""
        return sign_in.authenticate(request, credentials["password"], email=email, phone=phone)

    def post_login(self, request: HttpRequest, user: Any, **kwargs: Any) -> HttpResponse:
        response: HttpResponse = super().post_login(request, user, **kwargs)
        sign_in.remember_device(request, response, user)
        return response

    def _delete_login_attempts_cached_email(self, request: HttpRequest, **credentials: Any) -> None:
        """Failures are counted in `sign_in`, which forgets them when the stored password changes."""

    def set_password(self, user: Any, password: str) -> None:
        """Store a new password, unless another one was stored since `user` was read.

        So a link from a mail, or the old password, opens an account once, however often it is used at the same moment.

        Raises:
            ImmediateHttpResponse: leads to the same page again, which then says that the link or session has ended.
        """
        old = user.password
        user.set_password(password)
        with transaction.atomic():
            stored = User.objects.select_for_update(no_key=True).filter(pk=user.pk, password=old)
            if stored.exists():
                user.save(update_fields=["password"])
                return
        raise ImmediateHttpResponse(HttpResponseRedirect(context.request.get_full_path()))

    def send_verification_code_sms(self, user: Any, phone: str, code: str, **kwargs: Any) -> None:
        """Phones are not verified (ACCOUNT_PHONE_VERIFICATION_ENABLED is off), so allauth never asks for this."""

    def save_user(self, request: HttpRequest, user: Any, form: Any, commit: bool = True) -> User:
        """One insert with everything: the row must have an e-mail or a phone from the start."""
        data = form.cleaned_data
        user.name = data["name"]
        user.email = data.get("email") or None
        user.phone = data.get("phone") or None
        user.language = _language(request)
        user.set_password(data["password1"])
        if commit:
            user.save()
        signed_up: User = user
        return signed_up


def _language(request: HttpRequest) -> str:
    """The browser's language where it is one of ours, else English."""
    code = get_language_from_request(request).split("-")[0]
    return code if code in dict(settings.LANGUAGES) else "en"


class SignupForm(BaseSignupForm):
    """Name, e-mail or phone (at least one), password."""

    name = forms.CharField(label=_("Your name"), max_length=80, widget=forms.TextInput(attrs={"autocomplete": "name"}))
    field_order = ["name", "phone", "email", "password1"]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for field in self.fields.values():
            field.widget.attrs.pop("placeholder", None)
        self.fields["phone"].label = _("Phone")
        self.fields["phone"].help_text = _("So that your driver can call you.")
        self.fields["email"].label = _("E-mail")
        self.fields["email"].help_text = _("Phone or e-mail: one of them is enough.")
        self.fields["password1"].help_text = _("At least 8 characters, not only digits.")

    def validate_unique_email(self, value: str) -> str:
        """An address is taken where a user has it; what stands in allauth's table of aliases reserves nothing."""
        self.account_already_exists = False
        if User.by_email(value):
            raise get_adapter().validation_error("email_taken")
        return value

    def clean_name(self) -> str:
        return " ".join(self.cleaned_data["name"].split())

    def clean(self) -> dict[str, Any]:
        """Raises TooManyRequests."""
        sign_in.count_sign_up(context.request)
        data: dict[str, Any] = super().clean()
        if not {"email", "phone"} & set(self.errors) and not data.get("email") and not data.get("phone"):
            self.add_error("phone", _("Enter your phone number or your e-mail."))
        return data

    def try_save(self, request: HttpRequest) -> tuple[Any, Any]:
        """The same form sent twice at once: the loser of that race gets the answer of the check before it."""
        try:
            with transaction.atomic():
                saved: tuple[Any, Any] = super().try_save(request)
        except IntegrityError:
            self.full_clean()
            if self.is_valid():
                raise
            return None, render(request, "account/signup.html", {"form": self})
        return saved


class ChangePasswordForm(BaseChangePasswordForm):
    def clean_oldpassword(self) -> str:
        """Raises TooManyRequests: a stolen session must not try passwords."""
        password: str = self.cleaned_data["oldpassword"]
        if not sign_in.check_password(context.request, self.user, password):
            raise forms.ValidationError(AccountAdapter.error_messages["enter_current_password"], code="wrong")
        return password


class LoginForm(BaseLoginForm):
    """One field for e-mail or phone. `refusal`: why it was not even looked at."""

    refusal: TooManyRequests | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["login"].label = _("E-mail or phone")
        self.fields["login"].widget.attrs.update({"autocomplete": "username", "autocapitalize": "none"})
        for field in self.fields.values():
            field.widget.attrs.pop("placeholder", None)
            field.help_text = ""

    def clean_login(self) -> str:
        login = str(self.cleaned_data["login"]).strip()
        if "@" in login:
            return login
        # "8 701 234 56 78" and "+77012345678" are the same person.
        phone = normal_phone(login)
        if phone is None:
            raise forms.ValidationError(_("Enter your e-mail or your phone number."), code="invalid")
        return phone

    def clean(self) -> dict[str, Any]:
        try:
            super().clean()
        except forms.ValidationError as error:
            if not str(error.code).endswith("_password_mismatch"):
                raise
            self.add_error("password", error)
        except TooManyRequests as refusal:
            self.refusal = refusal
            self.add_error(None, str(refusal.message))
        return self.cleaned_data


class LoginView(BaseLoginView):
    def form_invalid(self, form: LoginForm) -> HttpResponse:
        response: HttpResponse = super().form_invalid(form)
        if form.refusal is not None:
            response.status_code = form.refusal.status
            response["Retry-After"] = str(form.refusal.retry_after_s)
        return response
