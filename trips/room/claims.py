"""Claiming what needs a person: one member of staff sees to a matter, and the others see who.

A claim ends when it is released, by itself when the matter is solved (`end_solved`) and after `claim_kept_min`.
"""

import datetime as dt
from collections.abc import Container, Iterable

from django.utils.translation import gettext as _

from stepper import limits
from stepper.db.clock import database_now
from stepper.db.transactions import Stale, in_transaction
from stepper.errors import Conflict, NotFound
from stepper.models import ServiceSettings, User
from trips.models import Claim
from trips.room.queue import Key, Subject, is_open
from trips.safety import HANDLE

# Who may work on it may claim it.
PERMISSIONS: dict[str, str] = {
    Subject.TRIP: HANDLE,
    Subject.HELP: HANDLE,
    Subject.DRIVER: "drivers.change_driver",
}


def may_claim(user: User, subject: str) -> bool:
    """Say whether a user may claim matters of this kind."""
    return user.may_act_as_staff and user.has_perm(PERMISSIONS[subject])


def claim(subject: str, row_id: int, user: User, *, instead_of: int | None = None) -> Claim:
    """Claim a matter. Claiming what one has changes nothing.

    `instead_of`: the account whose claim is taken over, as the user was shown it; None: nobody's.

    Raises:
        NotPermitted: auth.forbidden
        NotFound: not_found, there is no such kind of matter
        Conflict: claim.solved, nothing of it is open any more
        Conflict: claim.taken, somebody else has it, or somebody else than `instead_of`
        TooManyRequests: more than `changes_per_min`
    """
    user.require_staff(_permission(subject))
    limits.count_call_of(user, "claim", "changes_per_min")
    return _claim(subject, row_id, user, instead_of)


@in_transaction
def _claim(subject: str, row_id: int, user: User, instead_of: int | None) -> Claim:
    settings, now = ServiceSettings.current(), database_now()
    if not is_open(subject, row_id, settings, now):
        raise Conflict("claim.solved", _("This is solved already."))
    # Of two who insert at once the database keeps one row; both then lock that one and read whose it is.
    Claim.objects.bulk_create([Claim(subject=subject, row_id=row_id, by=user, claimed_at=now)], ignore_conflicts=True)
    row = _lock(subject, row_id)
    if row is None:
        # It was there a moment ago, and ended since.
        raise Stale
    if row.by_id == user.pk and not _is_over(row, settings, now):
        return row
    if not _is_over(row, settings, now) and row.by_id != instead_of:
        raise Conflict("claim.taken", _("%(name)s sees to this.") % {"name": row.by.name})
    row.by, row.claimed_at = user, now
    row.save(update_fields=["by", "claimed_at"])
    return row


@in_transaction
def release(subject: str, row_id: int, user: User) -> None:
    """End one's own claim. Where somebody else has the matter, or nobody, nothing changes.

    Raises:
        NotPermitted: auth.forbidden
        NotFound: not_found, there is no such kind of matter
    """
    user.require_staff(_permission(subject))
    Claim.objects.filter(subject=subject, row_id=row_id, by=user).delete()


def end_solved(claims: Iterable[Claim], still_open: Container[Key], settings: ServiceSettings, now: dt.datetime) -> int:
    """End the claims of matters that are solved; return how many. `still_open`: those that need no further look."""
    solved = [
        row.pk
        for row in claims
        if (row.subject, row.row_id) not in still_open and not is_open(row.subject, row.row_id, settings, now)
    ]
    if not solved:
        return 0
    # Not what was claimed since: the matter may have come up again.
    deleted, _by_model = Claim.objects.filter(pk__in=solved, claimed_at__lt=now).delete()
    return deleted


def _permission(subject: str) -> str:
    if subject not in PERMISSIONS:
        raise NotFound("not_found", _("There is no such thing."))
    return PERMISSIONS[subject]


def _lock(subject: str, row_id: int) -> Claim | None:
    rows = Claim.objects.select_for_update(no_key=True, of=("self",)).select_related("by")
    return rows.filter(subject=subject, row_id=row_id).first()


def _is_over(row: Claim, settings: ServiceSettings, now: dt.datetime) -> bool:
    return row.claimed_at <= now - dt.timedelta(minutes=settings.claim_kept_min)
