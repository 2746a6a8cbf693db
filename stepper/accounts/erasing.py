"""What is taken out of an account's own rows when its owner erases it. Part of `stepper.personal.erasure`."""

from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from django.contrib.admin.models import LogEntry
from django.contrib.contenttypes.models import ContentType
from django.db.models import Model, Q
from django.utils.crypto import salted_hmac

from stepper.accounts.person import NAME, Person
from stepper.models import AddressChange, AddressCode, PhoneCode, SecurityEvent, User

# Reserved by RFC 2606, so no mail goes anywhere: an account has an address or a phone number.
_ADDRESS = "deleted-{pk}-{code}@account.invalid"


def erased_address(user_id: int) -> str:
    """Return the e-mail that an erased account has. Nobody can guess it and sign up with it before."""
    code = salted_hmac("stepper.accounts.erasing", str(user_id), algorithm="sha256").hexdigest()[:16]
    return _ADDRESS.format(pk=user_id, code=code)


def erase(person: Person) -> None:
    """Make the account nameless and inactive, which takes a driver offline and closes every socket."""
    user = User.objects.get(pk=person.user_id)
    for model in (Authenticator, AddressChange, AddressCode, EmailAddress):
        model.objects.filter(user=user).delete()
    # Also codes to their number that were asked for without signing in.
    codes = Q(user=user) | (Q(phone=user.phone.as_e164) if user.phone else Q())
    PhoneCode.objects.filter(codes).delete()
    user.groups.clear()
    user.user_permissions.clear()
    user.name, user.email, user.phone = NAME, erased_address(user.pk), None
    user.push_muted, user.mail_topics, user.wants_trip_sms, user.session_binding = "", "", False, ""
    user.is_active = False
    user.set_unusable_password()
    user.save()


def forget_in_logs(person: Person) -> None:
    """Blank what the logs say of the account, also what erasing it has just written.

    That something was changed, when and by whom stays.
    """
    SecurityEvent.objects.filter(subject=person.user_id).exclude(details="").update(details="")


def forget_in_staffs_log(model: type[Model], ids: list[str]) -> None:
    """Blank what the administration's log says of rows that name the person."""
    of_model = LogEntry.objects.filter(content_type=ContentType.objects.get_for_model(model), object_id__in=ids)
    of_model.update(object_repr=NAME, change_message="")
