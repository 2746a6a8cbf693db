"""The forms of sign-up, sign-in and a new password, each of which counts as an attempt."""

from typing import Any

from allauth.account.adapter import get_adapter
from allauth.account.forms import ChangePasswordForm as BaseChangePasswordForm
from allauth.account.forms import LoginForm as BaseLoginForm
from allauth.account.forms import ResetPasswordKeyForm as BaseResetPasswordKeyForm
from allauth.account.forms import SetPasswordForm as BaseSetPasswordForm
from allauth.account.forms import SignupForm as BaseSignupForm
from allauth.core import context
from django import forms
from django.contrib.auth.password_validation import validate_password
from django.db import IntegrityError, transaction
from django.http import HttpRequest
from django.shortcuts import render
from django.utils.translation import gettext_lazy as _

from stepper.accounts import sign_in
from stepper.accounts.adapter import AccountAdapter
from stepper.errors import TooManyRequests
from stepper.models import User
from stepper.phones import EXAMPLE_PHONE, normal_phone
from stepper.texts import PlainTextInput

# In one line, instead of a list of all rules.
NEW_PASSWORD_HELP = _("At least 10 characters, such as a few words. Not a common one, nor your name, e-mail or phone.")


class SignupForm(BaseSignupForm):
    """Name, e-mail or phone (at least one), password."""

    name = PlainTextInput(label=_("Your name"), max_length=80, widget=forms.TextInput(attrs={"autocomplete": "name"}))
    field_order = ["name", "phone", "email", "password1"]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for field in self.fields.values():
            field.widget.attrs.pop("placeholder", None)
        self.fields["phone"].label = _("Phone")
        self.fields["phone"].help_text = _("So that your driver can call you.")
        self.fields["phone"].widget.attrs["placeholder"] = EXAMPLE_PHONE
        self.fields["email"].label = _("E-mail")
        self.fields["email"].help_text = _("Phone or e-mail: one of them is enough.")
        self.fields["password1"].label = _("Password")
        self.fields["password1"].help_text = NEW_PASSWORD_HELP

    def validate_unique_email(self, value: str) -> str:
        """Look for a user with this address; what stands in allauth's table of aliases reserves nothing."""
        self.account_already_exists = False
        if User.by_email(value):
            raise get_adapter().validation_error("email_taken")
        return value

    def clean_name(self) -> str:
        return " ".join(self.cleaned_data["name"].split())

    def clean(self) -> dict[str, Any]:
        """Count the attempt to sign up and ask for one of phone and e-mail. Raises TooManyRequests."""
        sign_in.count_sign_up(context.request)
        data: dict[str, Any] = super().clean()
        self._check_password(data)
        if not {"email", "phone"} & set(self.errors) and not data.get("email") and not data.get("phone"):
            self.add_error("phone", _("Enter your phone number or your e-mail."))
        return data

    def _check_password(self, data: dict[str, Any]) -> None:
        """Compare the password with everything that the new account will hold; allauth knows of the e-mail only."""
        password = data.get("password1")
        if not password or "password1" in self.errors:
            return
        user = User(name=data.get("name", ""), email=data.get("email"), phone=data.get("phone"))
        try:
            validate_password(password, user)
        except forms.ValidationError as error:
            self.add_error("password1", error)

    def try_save(self, request: HttpRequest) -> tuple[Any, Any]:
        """Save the user; of the same form sent twice at once, the second gets the answer of the check before it."""
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
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        _describe_new_password(self)
        self.fields["oldpassword"].label = _("Your password")

    def clean_oldpassword(self) -> str:
        """Check the present password. Raises TooManyRequests: a stolen session must not try passwords."""
        password: str = self.cleaned_data["oldpassword"]
        if not sign_in.check_password(context.request, self.user, password):
            raise forms.ValidationError(AccountAdapter.error_messages["enter_current_password"], code="wrong")
        return password


class FirstPasswordForm(BaseSetPasswordForm):
    """The first password of an account that had none."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        _describe_new_password(self)


class ResetPasswordKeyForm(BaseResetPasswordKeyForm):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        _describe_new_password(self)


def _describe_new_password(form: forms.Form) -> None:
    form.fields["password1"].label = _("New password")
    form.fields["password1"].help_text = NEW_PASSWORD_HELP
    form.fields["password2"].label = _("New password again")
    for field in form.fields.values():
        field.widget.attrs.pop("placeholder", None)


class LoginForm(BaseLoginForm):
    """One field for e-mail or phone. `refusal`: why it was not even looked at."""

    refusal: TooManyRequests | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["login"].label = _("E-mail or phone")
        self.fields["password"].label = _("Password")
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
