"""Notifications: stored in the user's language, told to their pages, read once."""

from typing import Any

import pytest
from django.utils.translation import gettext_lazy

from realtime import events, groups
from realtime.delivery import channels
from realtime.delivery.notifications import mark_all_read, mark_read, notify, unread_count
from realtime.models import Event, Notification
from stepper.models import User
from tests.factories import PassengerFactory
from tests.outbox import frames, types

pytestmark = pytest.mark.django_db


@pytest.fixture
def user() -> User:
    return PassengerFactory()


@pytest.mark.parametrize(
    ("audience", "kind"), [("driver", events.NotificationDriver), ("passenger", events.NotificationPassenger)]
)
def test_notify_stores_a_row_and_tells_the_users_pages(user: User, audience: Any, kind: type) -> None:
    row = notify(
        user, "Title", message="Text", audience=audience, priority="high", category="booking", action_url="/trips/1/"
    )

    assert Notification.objects.get() == row
    assert (row.user, row.priority, row.category, row.read_at) == (user, "high", "booking", None)
    (frame,) = frames(groups.user(user.pk))
    assert isinstance(frame, kind)
    assert (frame.notification_id, frame.title, frame.message) == (row.pk, "Title", "Text")
    assert (frame.priority, frame.category, frame.action_url) == ("high", "booking", "/trips/1/")
    assert Event.objects.count() == 1


def test_notify_speaks_the_users_language() -> None:
    """ "Yes" is one of Django's own words, so it has a translation whatever ours are."""
    notify(PassengerFactory(language="ru"), gettext_lazy("Yes"), message=gettext_lazy("No"), audience="passenger")

    row = Notification.objects.get()
    assert (row.title, row.message) == ("Да", "Нет")


def test_notify_cuts_what_is_too_long(user: User) -> None:
    notify(user, "T" * 200, message="M" * 400, audience="driver")

    row = Notification.objects.get()
    assert (row.title, row.message) == ("T" * 120, "M" * 300)
    assert frames(groups.user(user.pk))[0].message == "M" * 300


def test_unread_are_counted_for_the_user_alone(user: User) -> None:
    for _time in range(2):
        notify(user, "Title", audience="driver")
    notify(PassengerFactory(), "Title", audience="driver")

    assert unread_count(user.pk) == 2


def test_mark_read_counts_once(user: User) -> None:
    row = notify(user, "Title", audience="driver")

    assert mark_read(user.pk, row.pk)
    read_at = Notification.objects.get().read_at
    assert not mark_read(user.pk, row.pk)

    assert read_at is not None
    assert Notification.objects.get().read_at == read_at
    assert unread_count(user.pk) == 0


def test_mark_read_is_for_the_owner_alone(user: User) -> None:
    row = notify(user, "Title", audience="driver")

    assert not mark_read(PassengerFactory().pk, row.pk)
    assert unread_count(user.pk) == 1


def test_mark_all_read_leaves_those_of_others(user: User) -> None:
    other = PassengerFactory()
    for one in (user, user, other):
        notify(one, "Title", audience="driver")

    assert mark_all_read(user.pk) == 2
    assert mark_all_read(user.pk) == 0
    assert (unread_count(user.pk), unread_count(other.pk)) == (0, 1)
    assert types(groups.user(other.pk)) == ["notification.driver"]


def test_every_channel_is_in_use() -> None:
    kinds = {
        kind
        for kind in vars(channels).values()
        if isinstance(kind, type) and hasattr(kind, "deliver") and kind is not channels.Channel
    }
    assert {type(channel) for channel in channels.CHANNELS} == kinds
