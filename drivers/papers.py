"""How somebody's application and documents stand, for their pages, for staff, and for what depends on it.

It changes nothing that is stored; drivers.documents and drivers.joining write.
"""

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from drivers.models import (
    REQUIRED_KINDS,
    Approval,
    DocumentKind,
    DocumentStatus,
    Driver,
    DriverApplication,
    DriverDocument,
)
from realtime import events, groups
from realtime.outbox import publish
from stepper.errors import Conflict
from stepper.mail import sending
from stepper.models import User

State = Literal["draft", "checking", "changes", "approved", "rejected", "suspended"]
Step = Literal["person", "vehicle", "documents", "consent"]
STEPS: tuple[Step, ...] = ("person", "vehicle", "documents", "consent")

STEP_LABELS: dict[Step, Promise] = {
    "person": _("You"),
    "vehicle": _("Vehicle"),
    "documents": _("Documents"),
    "consent": _("Agreement"),
}


@dataclass(frozen=True, slots=True)
class Paper:
    """One kind of document: the newest one sent, and the accepted one, which may be the same. None: there is none."""

    kind: DocumentKind
    newest: DriverDocument | None
    accepted: DriverDocument | None
    is_required: bool

    @property
    def version(self) -> int:
        """Grows with every change of the newest one, so that a page keeps what it heard last."""
        if self.newest is None:
            return 0
        return 2 * self.newest.pk + (self.newest.status != DocumentStatus.PENDING)

    @property
    def expires(self) -> bool:
        return self.kind != DocumentKind.PHOTO

    @property
    def is_sent(self) -> bool:
        """Whether one is there that staff can check or have accepted."""
        return self.newest is not None and self.newest.status != DocumentStatus.REJECTED and not self.newest.is_expired

    @property
    def is_accepted(self) -> bool:
        return self.accepted is not None and not self.accepted.is_expired

    @property
    def valid_until(self) -> dt.date:
        """The last day of the newest one. Raises ValueError: there is none, or it does not expire."""
        if self.newest is None or self.newest.expires_on is None:
            raise ValueError(self.kind)
        return self.newest.expires_on

    @property
    def expires_soon(self) -> bool:
        """Whether the accepted one ends within 30 days and no newer one was sent."""
        if self.newest is None or self.newest != self.accepted or self.newest.expires_on is None:
            return False
        return (self.newest.expires_on - timezone.localdate()).days < 30


class Papers:
    """Everything of one user's application and documents; each is read at its first use."""

    def __init__(self, user_id: int) -> None:
        self.user_id = user_id

    @cached_property
    def application(self) -> DriverApplication:
        return DriverApplication.of(self.user_id)

    @cached_property
    def driver(self) -> Driver | None:
        """None: they are no driver yet."""
        return Driver.objects.filter(user_id=self.user_id).first()

    @property
    def approval(self) -> Approval | None:
        return None if self.driver is None else Approval(self.driver.approval)

    @property
    def tells_by_mail(self) -> bool:
        """Whether staff's answer goes to them by e-mail as well."""
        return sending.is_offered() and User.objects.filter(pk=self.user_id).exclude(email=None).exists()

    @property
    def lacking_documents(self) -> str:
        """The documents without which they may not drive, for people."""
        return in_words(self.unchecked)

    @cached_property
    def papers(self) -> list[Paper]:
        """One for each kind, in their order.

        Whom staff entered needs none (drivers.validity): only those count that were accepted once.
        """
        may_apply = self.approval in {None, Approval.REJECTED}
        is_entered = not may_apply and self.application.submitted_at is None
        found = DriverDocument.objects.filter(owner_id=self.user_id).exclude(status=DocumentStatus.REPLACED)
        rows = list(found.order_by("-pk"))
        return [_paper(kind, [row for row in rows if row.kind == kind], is_entered) for kind in DocumentKind]

    @property
    def missing(self) -> list[DocumentKind]:
        """What they have to send before staff can check the application."""
        return [paper.kind for paper in self.papers if paper.is_required and not paper.is_sent]

    @property
    def unchecked(self) -> list[DocumentKind]:
        """What staff have to accept before they can approve."""
        return [paper.kind for paper in self.papers if paper.is_required and not paper.is_accepted]

    @property
    def state(self) -> State:
        match self.approval:
            case None:
                return "draft"
            case Approval.PENDING:
                has_applied = self.application.submitted_at is not None
                return "changes" if has_applied and self.missing else "checking"
            case Approval.APPROVED:
                return "approved"
            case Approval.REJECTED:
                return "rejected"
            case Approval.SUSPENDED:
                return "suspended"

    @property
    def first_open_step(self) -> Step:
        """The step that has something left to enter; the last one where nothing has."""
        done = {
            "person": bool(self.application.licence_number),
            "vehicle": bool(self.application.plate),
            "documents": not self.missing,
        }
        return next((step for step in STEPS if not done.get(step, False)), "consent")


def _paper(kind: DocumentKind, newest_first: list[DriverDocument], is_entered: bool) -> Paper:
    accepted = next((row for row in newest_first if row.status == DocumentStatus.ACCEPTED), None)
    is_required = kind in REQUIRED_KINDS and (accepted is not None or not is_entered)
    return Paper(kind, newest_first[0] if newest_first else None, accepted, is_required)


def in_words(kinds: Iterable[DocumentKind]) -> str:
    return ", ".join(str(kind.label) for kind in kinds)


def require_checked(user_id: int) -> None:
    """Require accepted documents of somebody who has sent an application; whom staff entered needs none.

    Raises:
        Conflict: driver.documents_unchecked
    """
    papers = Papers(user_id)
    if papers.application.submitted_at is not None and papers.unchecked:
        words = gettext("Accept the documents first: %(documents)s.") % {"documents": in_words(papers.unchecked)}
        raise Conflict("driver.documents_unchecked", words)


def publish_papers(user_id: int) -> None:
    """Publish how somebody's application and documents stand now; call it at the end of the transaction's changes."""
    papers = Papers(user_id)
    documents = [
        events.DocumentState(newest.kind, newest.status, newest.reason, newest.expires_on)
        for paper in papers.papers
        if (newest := paper.newest) is not None
    ]
    publish(events.ApplicationUpdated(state=papers.state, documents=documents), groups.user(user_id))
