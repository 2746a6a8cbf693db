"""The verbs of joining: somebody applies as a driver in steps, and sends the application to staff.

What is entered stays in `DriverApplication` until it is sent; then there is a `Driver`, whom staff approve, reject or
suspend by the verbs of drivers.availability. A rejected application can be corrected and sent again.
"""

from typing import Any

from django.contrib.sessions.backends.base import SessionBase
from django.db import IntegrityError, transaction
from django.db.models.functions import Now
from django.utils.translation import gettext as _

from drivers.availability import lock_driver_of
from drivers.models import Approval, DocumentKind, Driver, DriverApplication, Vehicle
from drivers.papers import Papers, in_words, publish_papers
from drivers.updates import publish_update
from drivers.validity import store_validity
from realtime import groups
from realtime.delivery.notifications import notify_staff
from realtime.outbox import refresh_permissions
from stepper import limits
from stepper.accounts.confirmation import require_confirmed
from stepper.db.transactions import Stale, in_transaction
from stepper.errors import Conflict, InvalidInput
from stepper.models import User
from stepper.staff_words import ask_staff

# Facts of the vehicle, alike in both tables.
VEHICLE_FIELDS = ("make", "model", "colour", "plate", "year", "vehicle_class", "seats")


def save_person(user: User, session: SessionBase, *, name: str, phone: str | None, licence_number: str) -> None:
    """Store who applies. `phone` counts where the account has none yet; E.164, None: not asked.

    The account gets the name when staff approve, who compare it with the documents.

    A phone number opens the account, so the first one needs a recent sign-in, as whatever does.

    Raises:
        ConfirmationRequired, NothingToConfirmWith: as `require_confirmed`
        InvalidInput: phone.taken
        Conflict (application.closed), TooManyRequests
    """
    limits.count_call("application", user.pk, setting="changes_per_min")
    is_new_phone = user.phone is None and phone is not None
    if is_new_phone:
        require_confirmed(session, user)
    try:
        _save_person(user, name, phone if is_new_phone else None, licence_number)
    except IntegrityError as error:
        words = _("Another account has this phone number.")
        raise InvalidInput("phone.taken", words, {"phone": [words]}) from error


@in_transaction
def _save_person(user: User, name: str, phone: str | None, licence_number: str) -> None:
    application = _lock_open(user)
    owner = User.objects.get(pk=user.pk)
    if phone is not None and owner.phone is None:
        owner.phone = phone
        owner.save(update_fields=["phone"])
    application.name, application.licence_number = name, licence_number
    application.save()


@in_transaction
def save_vehicle(user: User, facts: dict[str, Any]) -> None:
    """Store the vehicle's VEHICLE_FIELDS. Raises Conflict (application.closed), TooManyRequests."""
    limits.count_call("application", user.pk, setting="changes_per_min")
    application = _lock_open(user)
    for name in VEHICLE_FIELDS:
        setattr(application, name, facts[name])
    application.save()


def _lock_open(user: User) -> DriverApplication:
    """Lock the user's row and return their application, while they may change it.

    Raises:
        NotPermitted: account.inactive
        Conflict: application.closed
    """
    User.objects.lock_active(user.pk)
    if Papers(user.pk).approval not in {None, Approval.REJECTED}:
        closed = Conflict("application.closed", _("Your application has been sent; you cannot change it any more."))
        raise ask_staff(closed, _("Ask our staff to change it."))
    return DriverApplication.of(user.pk)


@in_transaction
def submit(user: User) -> Driver:
    """Send the application to staff, with the user's agreement that their documents are checked and kept.

    Repeating it changes nothing. After a rejection it is a new application of the same driver.

    Raises:
        Conflict: application.incomplete, application.closed
        TooManyRequests
    """
    limits.count_call("application", user.pk, setting="changes_per_min")
    # With those who share the vehicle: its facts change only while nobody else drives it.
    driver = lock_driver_of(user.pk, with_mates=True)
    User.objects.lock_active(user.pk)
    sent = Driver.objects.filter(user=user).first()
    if sent is not None and sent.approval == Approval.PENDING:
        return sent
    if driver is None and sent is not None:
        raise Stale  # it was sent and decided about meanwhile: lock its driver first
    application = _lock_open(user)
    papers = Papers(user.pk)
    _require_complete(papers, application)
    licence = next(paper for paper in papers.papers if paper.kind == DocumentKind.LICENCE)
    if driver is None:
        driver = Driver(user=user)
    driver.approval = Approval.PENDING
    driver.licence_number = application.licence_number
    driver.licence_expires_on = licence.valid_until
    driver.vehicle = _vehicle_of(application, driver)
    driver.save()
    application.consent_at = application.submitted_at = Now()
    application.save()
    store_validity(driver)
    publish_update(driver, "approval")
    publish_papers(user.pk)
    # Their sockets join what a driver gets.
    refresh_permissions(groups.user(user.pk))
    address = f"/admin/drivers/driver/{driver.pk}/change/"
    notify_staff(
        "drivers.change_driver", lambda: (_("Somebody applied as a driver"), application.name or user.name), address
    )
    return driver


def _require_complete(papers: Papers, application: DriverApplication) -> None:
    if not application.licence_number or not application.plate:
        raise Conflict("application.incomplete", _("Fill in the steps before this one first."))
    if papers.missing:
        words = _("These are missing: %(documents)s.") % {"documents": in_words(papers.missing)}
        raise Conflict("application.incomplete", words)


def _vehicle_of(application: DriverApplication, driver: Driver) -> Vehicle | None:
    """Return the applicant's own vehicle, new or with the facts as they are now.

    None: there is one with this plate already. Whether somebody may drive it, too, is for staff to say, before they
    approve (drivers.approvals).
    """
    facts = {name: getattr(application, name) for name in VEHICLE_FIELDS}
    known = Vehicle.objects.filter(plate=application.plate).first()
    if known is None:
        try:
            with transaction.atomic():
                return Vehicle.objects.create(**facts)
        except IntegrityError:  # somebody entered the plate at this moment
            return None
    if known.pk != driver.vehicle_id:
        return None
    if not driver.mates:
        Vehicle.objects.filter(pk=known.pk).update(**facts)
    return known
