"""A conversation as pages show it to one reader: its parts, which events draw anew, and the form to write."""

import datetime as dt
import uuid
from collections.abc import Iterable

from django.template.loader import render_to_string

from stepper.errors import DomainError, NotFound, Text
from stepper.models import User

from . import messages
from .models import TEXT_LENGTH, Trip, TripMessage
from .quick_replies import OFFERED, QuickReply
from .states import Role


class ConversationPage:
    """What the templates of one trip's conversation read, as `conversation`."""

    text_length = TEXT_LENGTH

    def __init__(
        self, found: messages.Conversation, reader: User, *, draft: str = "", refusal: DomainError | None = None
    ) -> None:
        self.trip = found.trip
        self.found = found
        self.reader = reader
        # What stands in the field: what was refused, or words to begin with.
        self.draft = draft
        self.refusal = refusal
        # Of one message: sent again, it is stored once.
        self.key = uuid.uuid4().hex

    @property
    def messages(self) -> list[tuple[TripMessage, bool]]:
        """Return (message, whether the reader wrote it)."""
        return [(row, row.sender_id == self.reader.pk) for row in self.found.messages]

    @property
    def version(self) -> int:
        """Return the newest message's id, which only grows: 0 without any."""
        return self.found.messages[-1].pk if self.found.messages else 0

    @property
    def other_name(self) -> str:
        """Return whom the reader writes to; "" where the trip has no driver."""
        if self.found.role == Role.DRIVER:
            return self.trip.organiser.short_name
        return self.trip.driver.user.short_name if self.trip.driver else ""

    @property
    def is_driver(self) -> bool:
        return self.found.role == Role.DRIVER

    @property
    def read_up_to(self) -> int | None:
        """Return the newest message that the reader has not read; None: they have read all."""
        if not self.found.unread:
            return None
        unread = (row.pk for row in self.found.messages if row.read_at is None and row.sender_id != self.reader.pk)
        return max(unread)

    @property
    def quick_replies(self) -> Iterable[QuickReply]:
        return OFFERED.get(self.found.role, ())

    @property
    def closes_at(self) -> dt.datetime | None:
        """Return when it will be closed; None: it is, or the trip has not ended."""
        return self.found.closes_at if self.found.is_open else None

    @property
    def reasons(self) -> list[Text]:
        """Say why the message was refused."""
        return list(self.refusal.reasons) if self.refusal else []


def draw_badge(trip_id: int, unread: int) -> str:
    """Draw the number of unread messages on a page's Message button, for an out-of-band swap."""
    return render_to_string("trips/message_badge.html", {"trip_id": trip_id, "unread": unread, "oob": True})


def draw_badges(reader: User, trips: Iterable[Trip]) -> str:
    """Draw the numbers of several trips."""
    shown = list(trips)
    unread = messages.count_unread(reader, shown)
    return "".join(draw_badge(trip.pk, unread.get(trip.pk, 0)) for trip in shown)


def draw_changed(reader_id: int, trip_id: int) -> str:
    """Draw the messages of a trip and their number, wherever a page shows them; "": the reader has lost the trip."""
    reader = User.objects.get(pk=reader_id)
    try:
        page = ConversationPage(messages.read_conversation(reader, trip_id), reader)
    except NotFound:
        return ""
    return render_to_string("trips/message_list.html", {"conversation": page, "oob": True}) + draw_badge(
        trip_id, page.found.unread
    )
