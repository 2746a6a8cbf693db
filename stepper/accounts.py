"""Sign-up and sign-in by e-mail or phone: one field, no verification step, clear errors at their fields."""

from typing import Any

import phonenumbers
from allauth.account.adapter import DefaultAccountAdapter
from allauth.account.forms import LoginForm as BaseLoginForm
from allauth.account.forms import SignupForm as BaseSignupForm
from django import forms
from django.conf import settings
from django.db import IntegrityError, transaction
from django.http import HttpRequest
from django.shortcuts import render
from django.utils.translation import get_language_from_request
from django.utils.translation import gettext_lazy as _

from .models import User


def normal_phone(text: str) -> str | None:
    """E.164 of a number as people write it ("8 701 …" is Kazakhstan's); None: not a phone number."""
    try:
        number = phonenumbers.parse(text, settings.PHONENUMBER_DEFAULT_REGION)
    except phonenumbers.NumberParseException:
        return None
    if not phonenumbers.is_valid_number(number):
        return None
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


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


class AccountAdapter(DefaultAccountAdapter):
    error_messages = {
        **DefaultAccountAdapter.error_messages,
        "email_password_mismatch": _("This e-mail and password do not belong together."),
        "phone_password_mismatch": _("This phone number and password do not belong together."),
        "email_taken": _("There is an account with this e-mail already. Sign in instead."),
        "phone_taken": _("There is an account with this phone number already. Sign in instead."),
        "too_many_login_attempts": _("Too many failed attempts. Try again in a minute."),
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

    def _get_login_attempts_cache_key(self, request: HttpRequest, **credentials: Any) -> str:
        """allauth's key knows no phone: all who sign in by one would share a single count of failures."""
        login = credentials.get("email") or credentials.get("phone") or ""
        key: str = super()._get_login_attempts_cache_key(request, email=login)
        return key

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

    def clean_name(self) -> str:
        return " ".join(self.cleaned_data["name"].split())

    def clean(self) -> dict[str, Any]:
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


class LoginForm(BaseLoginForm):
    """One field for e-mail or phone."""

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
        return self.cleaned_data
