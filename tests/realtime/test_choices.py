"""Notifications by e-mail and SMS: to whom they go, when, how often, and that one is sent once."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from allauth.account.models import EmailAddress
from django.core import mail
from django.db import transaction
from django.test import RequestFactory, override_settings
from django.utils import timezone
from django_tasks_db.models import DBTaskResult

from realtime.delivery import messages_out
from realtime.delivery.choices import choices_of, choose
from realtime.delivery.notifications import notify
from realtime.models import Notification
from realtime.push.subscriptions import Topic
from stepper.accounts import phone_codes
from stepper.errors import TooManyRequests
from stepper.models import PhonePurpose, ServiceSettings, User
from stepper.sms.configuration import read_sms
from stepper.tasks.worker import MAIL, SMS, QueueWorker
from tests.backoffice import signed_in
from tests.factories import PassengerFactory, TripFactory
from tests.rest import as_user
from tests.sms_service import FORM, SECRET, SmsService, sms_service
from trips import arrival

pytestmark = pytest.mark.django_db

PAGE = "/notifications/push/"


@pytest.fixture
def user() -> User:
    user: User = PassengerFactory.create(email="aigul@x.kz", phone="+77471234567")
    EmailAddress.objects.create(user=user, email="aigul@x.kz", verified=True, primary=True)
    return user


@pytest.fixture
def service() -> Iterator[SmsService]:
    with sms_service() as running, override_settings(SMS_PROVIDER=read_sms(**_provider(running), debug=False)):
        yield running


def _provider(running: SmsService) -> dict[str, str]:
    return {"url": running.url, "secret": SECRET, **FORM}


def tell(user: User, **more: Any) -> Notification:
    values: dict[str, Any] = {"message": "Abay 10", "audience": "passenger", "action_url": "/trips/7/"}
    return notify(User.objects.get(pk=user.pk), "Driver found", **values | more)


def run() -> None:
    QueueWorker(MAIL).run_ready()
    QueueWorker(SMS).run_ready()


def test_without_a_choice_pushes_alone_come(user: User, service: SmsService) -> None:
    found = choices_of(user)
    assert (set(found.push.values()), set(found.mail.values()), found.sms) == ({True}, {False}, False)
    tell(user, is_critical=True)
    assert not DBTaskResult.objects.exists()


# E-mail


def test_mail_of_a_chosen_kind_comes_once(user: User) -> None:
    choose(user, mail={Topic.TRIP: True})
    tell(user)
    tell(user, category="booking")
    run()
    run()
    [message] = mail.outbox
    assert (message.to, message.subject) == (["aigul@x.kz"], "StepperGO: Driver found")
    assert "https://go.example.test/trips/7/" in message.body
    assert "Abay 10" in message.body


def unprove(user: User) -> None:
    EmailAddress.objects.update(verified=False)


def forget_choice(user: User) -> None:
    choose(user, mail={Topic.TRIP: False})


def close(user: User) -> None:
    User.objects.filter(pk=user.pk).update(is_active=False)


def change_address(user: User) -> None:
    user.email = "other@x.kz"
    user.save()


@pytest.mark.parametrize("change", [unprove, forget_choice, close, change_address])
def test_mail_on_its_way_is_not_sent_to_who_may_not_get_it_any_more(user: User, change: Any) -> None:
    choose(user, mail={Topic.TRIP: True})
    tell(user)
    change(user)
    run()
    assert mail.outbox == []


def test_nothing_is_mailed_of_what_was_rolled_back(user: User) -> None:
    choose(user, mail={Topic.TRIP: True})
    with transaction.atomic():
        tell(user)
        transaction.set_rollback(True)
    run()
    assert mail.outbox == []


def test_mails_of_a_day_are_bounded(user: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(messages_out, "MAILS_PER_DAY", 2)
    choose(user, mail={Topic.TRIP: True})
    for _time in range(3):
        tell(user)
    run()
    assert len(mail.outbox) == 2


def test_staffs_notifications_are_not_mailed(user: User) -> None:
    choose(user, mail={Topic.TRIP: True})
    tell(user, audience="staff")
    assert not DBTaskResult.objects.exists()


# SMS


def test_sms_of_what_a_trip_hangs_on_comes_once(user: User, service: SmsService) -> None:
    choose(user, sms=True)
    tell(user)
    tell(user, is_critical=True)
    run()
    run()
    assert [tuple(one) for one in service.received] == [("77471234567", "StepperGO: Driver found. Abay 10")]


def test_arrival_is_worth_an_sms(user: User, service: SmsService) -> None:
    choose(user, sms=True)
    arrival.tell_passenger(TripFactory.create(organiser=User.objects.get(pk=user.pk), status="driver_arrived"))
    run()
    assert len(service.received) == 1


def test_no_sms_to_a_number_that_is_not_verified(user: User, service: SmsService) -> None:
    choose(user, sms=True)
    tell(user, is_critical=True)
    User.objects.filter(pk=user.pk).update(phone_verified_at=None)
    tell(user, is_critical=True)
    run()
    assert service.received == []
    assert choices_of(User.objects.get(pk=user.pk)).sms_lack == "unproven"


@override_settings(SMS_PROVIDER=None)
def test_no_sms_without_a_provider(user: User) -> None:
    choose(user, sms=True)
    tell(user, is_critical=True)
    assert not DBTaskResult.objects.exists()


@pytest.mark.parametrize("limit", ["sms_per_number_day", "sms_per_day"])
def test_sms_of_a_day_are_bounded(user: User, service: SmsService, limit: str) -> None:
    ServiceSettings(pk=1, **{limit: 1}).save()
    choose(user, sms=True)
    for _time in range(2):
        tell(user, is_critical=True)
    run()
    assert len(service.received) == 1


def test_news_leave_half_of_the_days_sms_for_codes(user: User, service: SmsService) -> None:
    """Otherwise nobody could sign in by a code on a day with much news."""
    settings = ServiceSettings(pk=1, sms_per_day=4, sms_per_number_day=3)
    settings.save()
    choose(user, sms=True)
    for _time in range(3):
        tell(user, is_critical=True)
    run()
    assert len(service.received) == 2
    assert not phone_codes.tell_unproven("+77470000001", "x", language="en", by_id=None, settings=settings)
    for number in ("+77470000002", "+77470000003"):
        phone_codes.send(RequestFactory().post("/"), number, PhonePurpose.SIGN_IN)
    with pytest.raises(TooManyRequests):
        phone_codes.send(RequestFactory().post("/"), "+77470000004", PhonePurpose.SIGN_IN)


def test_sms_that_was_not_taken_is_tried_again_and_counted_once(user: User, service: SmsService) -> None:
    ServiceSettings(pk=1, sms_per_number_day=1).save()
    choose(user, sms=True)
    tell(user, is_critical=True)
    service.status = 503
    run()
    service.status = 200
    DBTaskResult.objects.update(run_after=timezone.now())
    run()
    assert len(service.received) == 1


# The page and REST


def test_page_keeps_what_is_wanted(user: User, service: SmsService) -> None:
    client = signed_in(user)
    html = client.get(PAGE).content.decode()
    assert 'name="mail-trip"' in html
    assert 'name="sms"' in html
    client.post(PAGE, {"ways": ["mail", "sms"], "trip": "on", "mail-trip": "on", "mail-booking": "on", "sms": "on"})
    found = choices_of(User.objects.get(pk=user.pk))
    assert {topic for topic, is_wanted in found.push.items() if is_wanted} == {Topic.TRIP}
    assert {topic for topic, is_wanted in found.mail.items() if is_wanted} == {Topic.TRIP, Topic.BOOKING}
    assert found.sms
    # A page of the release before, which is open during an upgrade.
    client.post(PAGE, {"trip": "on"})
    assert choices_of(User.objects.get(pk=user.pk)).sms


@override_settings(SMS_PROVIDER=None)
def test_page_without_a_provider_keeps_what_was_chosen_of_sms(user: User) -> None:
    choose(user, mail={Topic.TRIP: True}, sms=True)
    client = signed_in(user)
    ways = re.findall(r'name="ways" value="(\w+)"', client.get(PAGE).content.decode())
    client.post(PAGE, {"ways": ways, "trip": "on"})
    found = choices_of(User.objects.get(pk=user.pk))
    assert (found.mail[Topic.TRIP], found.sms) == (False, True)


@override_settings(SMS_PROVIDER=None)
def test_page_offers_what_there_is(user: User) -> None:
    """Without a provider nothing of SMS; with an unproven address the way to prove it."""
    EmailAddress.objects.update(verified=False)
    html = signed_in(user).get(PAGE).content.decode()
    assert 'name="sms"' not in html
    assert "Mails come when you have confirmed your e-mail." in html


def test_programs_choose_the_same(user: User) -> None:
    client = as_user(user)
    sent = {"push": {"trip": False}, "mail": {"trip": True}, "sms": True}
    answer = client.put("/api/notifications/choices", sent, format="json").json()
    assert (answer["push"]["trip"], answer["push"]["booking"], answer["mail"]["trip"], answer["sms"]) == (
        False,
        True,
        True,
        True,
    )
    assert client.get("/api/notifications/choices").json() == answer
    wrong = client.put("/api/notifications/choices", {"mail": {"offer": True}, "sms": "yes"}, format="json")
    assert wrong.status_code == 400


@pytest.mark.parametrize(("way", "mark"), [("mail", 'name="mail-trip"'), ("sms", 'name="sms"')])
def test_way_that_the_account_has_no_address_for_cannot_be_ticked(way: str, mark: str) -> None:
    with_it, without = (
        signed_in(PassengerFactory.create(**more)).get(PAGE).content.decode()
        for more in ({}, {"email": None} if way == "mail" else {"phone": None})
    )
    [box] = re.findall(rf"<input[^>]*{mark}[^>]*>", without)
    assert "disabled" in box
    # What was chosen before stays as it was.
    hidden = f'name="ways" value="{way}"'
    assert (hidden in with_it, hidden in without) == (True, False)
    assert 'href="/account/"' in without.partition("<main")[2].partition("<fieldset")[2]
