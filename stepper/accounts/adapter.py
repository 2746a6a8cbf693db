"""Sign-up and sign-in by e-mail or phone: one field, no verification step, clear errors at their fields."""

from typing import Any

from allauth.account.adapter import DefaultAccountAdapter
from allauth.core import context
from allauth.core.exceptions import ImmediateHttpResponse
from django import forms
from django.conf import settings
from django.db import transaction
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import get_language
from django.utils.translation import gettext_lazy as _

from stepper.accounts import sign_in
from stepper.accounts.mails import PublicMail
from stepper.models import User
from stepper.phones import normal_phone


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
        return (str(user.phone), user.has_verified_phone) if user.phone else None

    def set_phone(self, user: Any, phone: str, verified: bool) -> None:
        user.phone, user.phone_verified_at = phone, timezone.now() if verified else None
        user.save(update_fields=["phone", "phone_verified_at"])

    def set_phone_verified(self, user: Any, phone: str) -> None:
        self.set_phone(user, phone, True)

    def get_user_by_phone(self, phone: str) -> User | None:
        return User.objects.filter(phone=normal_phone(phone)).first() if normal_phone(phone) else None

    def authenticate(self, request: HttpRequest, **credentials: Any) -> User | None:
        """Find the account of a login and its password through `sign_in`. Raises TooManyRequests."""
        email, phone = credentials.get("email") or "", credentials.get("phone") or ""
        return sign_in.authenticate(request, credentials["password"], email=email, phone=phone)

    def get_login_stages(self) -> list[str]:
        """Return allauth's steps of a sign-in, with ours for the code of a second factor."""
        ours = {"allauth.mfa.stages.AuthenticateStage": "stepper.accounts.code_stage.CodeStage"}
        return [ours.get(stage, stage) for stage in super().get_login_stages()]

    def post_login(self, request: HttpRequest, user: Any, **kwargs: Any) -> HttpResponse:
        response: HttpResponse = super().post_login(request, user, **kwargs)
        sign_in.remember_device(request, response, user)
        return response

    def get_signup_redirect_url(self, request: HttpRequest) -> str:
        """Lead somebody new who was on the way to no other page to booking, which says that the account is there."""
        return f"{reverse('booking:book')}?welcome"

    def _delete_login_attempts_cached_email(self, request: HttpRequest, **credentials: Any) -> None:
        """Do nothing: failures are counted in `sign_in`, which forgets them when the stored password changes."""

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
        """Do nothing: allauth keeps its codes in the session in clear. `stepper.accounts.phone_codes` sends ours."""

    def save_user(self, request: HttpRequest, user: Any, form: Any, commit: bool = True) -> User:
        """Insert the user with everything at once: the row must have an e-mail or a phone from the start."""
        data = form.cleaned_data
        user.name = data["name"]
        user.email = data.get("email") or None
        user.phone = data.get("phone") or None
        user.language = get_language() or settings.LANGUAGE_CODE
        user.set_password(data["password1"])
        if commit:
            user.save()
        signed_up: User = user
        return signed_up
