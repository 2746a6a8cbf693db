"""What a driver's pages are sent: every state that the dashboard shows changes with an event that draws it."""

import datetime as dt
import threading

import pytest
from django.db import connection
from django.utils import timezone

from drivers import approvals, availability, fragments, working_time
from drivers.models import Driver
from realtime import events, groups
from stepper.models import User
from tests.factories import ALMATY, DriverFactory, StaffFactory
from tests.outbox import frames, rechecked

pytestmark = pytest.mark.django_db


def sent(driver: Driver, since: int) -> str:
    """What an open dashboard is sent for the events of the driver's group from `since` on."""
    told = [*frames(groups.driver(driver.pk))[since:], *frames(groups.user(driver.user_id))]
    return "".join(fragments.render(event, driver.pk) for event in told if "driver" in event.pages)  # type: ignore[arg-type]


def changed(driver: Driver, since: int) -> list[list[str]]:
    updates = frames(groups.driver(driver.pk))[since:]
    return [list(event.changed) for event in updates if isinstance(event, events.DriverUpdated)]


@pytest.fixture
def on_break() -> Driver:
    driver: Driver = DriverFactory(at=ALMATY)
    working_time.take_break(driver.pk, 30)
    driver.refresh_from_db()
    assert driver.on_break_until
    return driver


def test_staff_put_a_driver_on_a_break_offline_for_good(on_break: Driver) -> None:
    since = len(frames(groups.driver(on_break.pk)))
    availability.take_offline(on_break.pk, StaffFactory())
    assert changed(on_break, since) == [["breaks"]]
    assert "You stay offline then." in sent(on_break, since)


def test_suspension_ends_a_break(on_break: Driver) -> None:
    since = len(frames(groups.driver(on_break.pk)))
    approvals.suspend(on_break.pk, StaffFactory())
    assert changed(on_break, since) == [["approval", "breaks"]]
    html = sent(on_break, since)
    assert 'id="driver-hours"' in html
    assert "break until" not in html


def test_deactivation_ends_a_break(on_break: Driver) -> None:
    since = len(frames(groups.driver(on_break.pk)))
    User.objects.filter(pk=on_break.user_id).update(is_active=False)
    availability.stop_inactive([on_break.pk])
    assert changed(on_break, since) == [["breaks"]]


def test_going_online_ends_a_break_with_one_event(on_break: Driver) -> None:
    since = len(frames(groups.driver(on_break.pk)))
    availability.set_online(on_break.pk, True)
    assert changed(on_break, since) == [["availability", "breaks"]]


def test_break_that_ends_puts_online_with_one_event(on_break: Driver) -> None:
    since = len(frames(groups.driver(on_break.pk)))
    working_time.end_break(on_break.pk, on_break.breaks.get().pk)
    assert changed(on_break, since) == [["availability", "breaks"]]


def test_break_of_a_driver_who_cannot_go_online_ends_with_one_event(on_break: Driver) -> None:
    Driver.objects.filter(pk=on_break.pk).update(licence_expires_on=timezone.localdate() - dt.timedelta(days=1))
    since = len(frames(groups.driver(on_break.pk)))
    working_time.end_break(on_break.pk, on_break.breaks.get().pk)
    assert changed(on_break, since) == [["breaks"]]


def test_approval_is_a_permissions_refresh_as_well() -> None:
    """Servers of the release before forget what they know of the driver by that."""
    driver = DriverFactory(at=ALMATY)
    approvals.suspend(driver.pk, StaffFactory())
    assert rechecked(groups.driver(driver.pk))


@pytest.mark.django_db(transaction=True)
def test_whole_state_is_published_in_the_transaction_that_changed_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Staff who put the driver offline while a warning is withdrawn wait; the last event says what the row does."""
    driver = DriverFactory(at=ALMATY)
    Driver.objects.filter(pk=driver.pk).update(auto_offline_at=timezone.now() + dt.timedelta(minutes=5))
    publish_update = working_time.publish_update
    waiting: list[threading.Thread] = []

    def take_offline() -> None:
        try:
            availability.take_offline(driver.pk, StaffFactory())
        finally:
            connection.close()

    def with_staff_at_the_door(read: Driver, *parts: events.DriverPart) -> None:
        assert connection.in_atomic_block
        waiting.append(threading.Thread(target=take_offline))
        waiting[0].start()
        publish_update(read, *parts)

    monkeypatch.setattr(working_time, "publish_update", with_staff_at_the_door)
    working_time.record_activity(driver.pk)
    waiting[0].join(10)
    last = frames(groups.driver(driver.pk))[-1]
    assert isinstance(last, events.DriverUpdated)
    assert last.availability == Driver.objects.get(pk=driver.pk).availability == "offline"


def test_notification_draws_what_depends_on_the_time() -> None:
    """When to set off turns to "now" with the notification that says so."""
    driver = DriverFactory(at=ALMATY)
    event = events.NotificationDriver(
        notification_id=1,
        title="Time to set off",
        message="",
        priority="urgent",
        category="trip",
        action_url="/driver/",
    )
    html = fragments.render(event, driver.pk)
    assert 'id="driver-upcoming"' in html
    assert 'id="driver-notice"' in html
