"""A forgotten password: a link to the account's own address, and one answer for whoever asks; and the first one."""

from typing import Any

from allauth.account.forms import ResetPasswordForm as BaseResetPasswordForm
from django.contrib.sessions.backends.base import SessionBase
from django.http import HttpRequest
from django.urls import reverse
from django.utils.http import int_to_base36
from django.utils.translation import gettext_lazy as _
from django_tasks import task

from stepper import limits, security_log
from stepper.accounts import phone_codes
from stepper.accounts.addresses import require_mail
from stepper.accounts.confirmation import confirms_by_code, require_confirmed
from stepper.accounts.reset_tokens import reset_tokens
from stepper.db.transactions import in_transaction
from stepper.errors import Conflict
from stepper.mail import sending
from stepper.models import SecurityEventCode, User
from stepper.tasks.worker import MAIL

RESETS_PER_HOUR = 5


def request_reset(email: str, *, base_url: str) -> None:
    """Send a link that sets a new password to the account of `email`, if there is one.

    The account is looked for after the answer, by the task that sends: neither what is answered nor how long it
    takes says whether there is one. `base_url` is what the link begins with.

    Raises:
        Conflict: mail.not_offered.
        TooManyRequests: this address was asked for too often.
    """
    require_mail()
    limits.spend("password-reset", limits.digest(email), most=RESETS_PER_HOUR, window_s=limits.HOUR_S)
    # By the login that was typed: looking for the account would take longer where there is one.
    security_log.count(SecurityEventCode.PASSWORD_RESET_REQUESTED, login=email)
    sending.run_after_commit(send_link, email=email, base_url=base_url)


@task(queue_name=MAIL.name)
def send_link(*, email: str, base_url: str) -> None:
    """Send the link, which is made only now: no row of a queue ever has it."""
    user = User.by_email(email)
    if user is None or not user.is_active or user.email is None:
        return
    key = reset_tokens.make_token(user)
    path = reverse("account_reset_password_from_key", kwargs={"uidb36": int_to_base36(user.pk), "key": key})
    # To the address as it is stored: one that only looks like it is somebody else's.
    context = {"user": user, "url": base_url + path}
    sending.deliver(sending.write("password_reset", user.email, language=user.offered_language, context=context))


def set_first(user: User, session: SessionBase, password: str) -> None:
    """Give an account without a password its first one, after a code by SMS; its other sessions end, its phone is told.

    `password` has passed the rules. `user` has it afterwards, so that the caller can keep the session.

    Raises:
        ConfirmationRequired, NothingToConfirmWith: as `require_confirmed`.
        Conflict: auth.password_exists, it was set meanwhile, or the account is not confirmed by SMS any more.
        NotPermitted: account.inactive.
        TooManyRequests: more than `changes_per_min`.
    """
    require_confirmed(session, user)
    limits.count_call("account.password", user.pk, setting="changes_per_min")
    user.password = _set_first(user.pk, password)


@in_transaction
def _set_first(user_id: int, password: str) -> str:
    """Store the password, have the phone told, and return it as it is stored."""
    user = User.objects.lock_active(user_id)
    # Read once more under the lock: it may be a member of staff's now, or have a password, or another number.
    if not (confirms_by_code(user) and user.has_verified_phone):
        raise Conflict("auth.password_exists", _("That cannot be done any more. Look at your account page."))
    user.set_password(password)
    user.save(update_fields=["password"])
    if user.phone:
        text = _("StepperGO: your account has a password now.")
        phone_codes.tell(user.phone.as_e164, text, language=user.offered_language, to_staff=phone_codes.NOT_YOU)
    return user.password


class ResetPasswordForm(BaseResetPasswordForm):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["email"].label = _("E-mail")
        self.fields["email"].widget.attrs.pop("placeholder", None)

    def clean_email(self) -> str:
        return str(self.cleaned_data["email"]).strip().lower()

    def save(self, request: HttpRequest, **_kwargs: Any) -> str:
        email: str = self.cleaned_data["email"]
        request_reset(email, base_url=sending.base_url(request))
        return email
