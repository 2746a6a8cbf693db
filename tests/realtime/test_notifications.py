"""Notifications: stored in the user's language, told to their pages, read once."""

from typing import Any

import pytest
from django.utils.translation import gettext_lazy

from realtime import events, groups
from realtime.delivery import channels
from realtime.delivery.notifications import (
    list_for,
    mark_all_read,
    mark_read,
    notify,
    notify_staff,
    unread_by_category,
    unread_count,
)
from realtime.models import Event, Notification
from stepper import languages
from stepper.errors import NotFound
from stepper.models import ServiceSettings, User
from tests.factories import PassengerFactory, StaffFactory
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


def test_notify_speaks_the_users_language(settings: Any) -> None:
    """ "Yes" is one of Django's own words, so it has a translation whatever ours are."""
    settings.LANGUAGES = list(languages.NAMES.items())
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


def test_unread_are_counted_by_the_categories_there_are(user: User) -> None:
    for category in ("system", "booking", "booking", "trip"):
        notify(user, "Title", audience="driver", category=category)
    mark_all_read(user.pk, "trip")
    notify(PassengerFactory(), "Title", audience="driver", category="chat")

    assert unread_by_category(user.pk) == {"trip": 0, "booking": 2, "system": 1}


def read_events(user: User) -> list[tuple[int | None, str | None, int]]:
    of_user = frames(groups.user(user.pk))
    return [
        (one.notification_id, one.category, one.unread) for one in of_user if isinstance(one, events.NotificationRead)
    ]


def test_mark_read_tells_the_users_pages_once(user: User) -> None:
    row, other = (notify(user, "Title", audience="driver") for _number in range(2))

    read_at = mark_read(user.pk, row.pk).read_at
    assert mark_read(user.pk, row.pk).read_at == read_at

    assert read_at is not None
    assert [one.read_at for one in Notification.objects.order_by("pk")] == [read_at, None]
    assert read_events(user) == [(row.pk, None, 1)]
    assert other.pk != row.pk


def test_mark_read_is_for_the_owner_alone(user: User) -> None:
    row, stranger = notify(user, "Title", audience="driver"), PassengerFactory()

    for notification_id in (row.pk, row.pk + 1):
        with pytest.raises(NotFound) as refused:
            mark_read(stranger.pk, notification_id)
        assert refused.value.code == "notification.not_found"
    assert unread_count(user.pk) == 1
    assert read_events(user) == read_events(stranger) == []


def test_mark_all_read_leaves_those_of_others(user: User) -> None:
    other = PassengerFactory()
    for one in (user, user, other):
        notify(one, "Title", audience="driver")

    assert mark_all_read(user.pk) == 2
    assert mark_all_read(user.pk) == 0
    assert (unread_count(user.pk), unread_count(other.pk)) == (0, 1)
    assert read_events(user) == [(None, None, 0)]
    assert types(groups.user(other.pk)) == ["notification.driver"]


def test_mark_all_read_of_a_category_leaves_the_others(user: User) -> None:
    for category in ("trip", "trip", "system"):
        notify(user, "Title", audience="driver", category=category)

    assert mark_all_read(user.pk, "trip") == 2
    assert [row.category for row in list_for(user.pk) if row.read_at is None] == ["system"]
    assert read_events(user) == [(None, "trip", 1)]


def test_list_has_the_newest_first_of_one_category_or_all(user: User) -> None:
    first, second, third = (notify(user, "Title", audience="driver", category=of) for of in ("trip", "chat", "trip"))
    notify(PassengerFactory(), "Title", audience="driver")

    assert list(list_for(user.pk)) == [third, second, first]
    assert list(list_for(user.pk, "trip")) == [third, first]


def test_every_channel_is_in_use() -> None:
    kinds = {
        kind
        for kind in vars(channels).values()
        if isinstance(kind, type) and hasattr(kind, "deliver") and kind is not channels.Channel
    }
    assert {type(channel) for channel in channels.CHANNELS} == kinds


# Staff's


def staff_with_notice() -> User:
    user: User = StaffFactory()
    notify_staff("trips.change_trip", lambda: ("Trip 7 is not taken", "Abay Square"), "/admin/trips/trip/7/change/")
    notify(user, "Your driver is here", audience="passenger", action_url="/trips/1/")
    return user


def lose_being_staff(user: User) -> None:
    user.is_staff = False
    user.save()


def lose_factor(user: User) -> None:
    ServiceSettings(pk=1, staff_second_factor=True).save()


@pytest.mark.parametrize("lose", [lose_being_staff, lose_factor])
def test_who_is_staff_no_longer_reads_nothing_of_staffs(user: User, lose: Any) -> None:
    colleague = staff_with_notice()
    [notice] = list_for(colleague.pk, "system")
    assert unread_count(colleague.pk) == 2

    lose(colleague)

    assert [row.title for row in list_for(colleague.pk)] == ["Your driver is here"]
    assert unread_count(colleague.pk) == 1
    assert unread_by_category(colleague.pk) == {"trip": 1}
    with pytest.raises(NotFound):
        mark_read(colleague.pk, notice.pk)
    assert mark_all_read(colleague.pk) == 1
    notice.refresh_from_db()
    assert notice.read_at is None
