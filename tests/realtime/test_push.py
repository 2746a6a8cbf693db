"""Pushes over a real push service: who gets which, what they say, when they end, what a service may answer."""

import datetime as dt
import re
import socket
import ssl
import threading
from typing import Any

import pytest
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.contrib.sessions.backends.base import SessionBase
from django.contrib.sessions.models import Session
from django.utils import timezone
from django_tasks_db.models import DBTaskResult

from realtime.delivery.notifications import notify, notify_staff
from realtime.models import PushSubscription
from realtime.push import sending, subscriptions
from realtime.push.subscriptions import MOST_OF_A_USER, Topic
from stepper import outbound
from stepper.accounts import sessions
from stepper.accounts.session_store import SessionStore
from stepper.errors import Conflict, InvalidInput, NotSignedIn
from stepper.models import User
from stepper.tasks.worker import PUSH, QueueWorker
from tests.factories import ALMATY, DriverFactory, OfferFactory, PassengerFactory, StaffFactory, TripFactory
from tests.push_service import PushService, push_service
from trips import accepting, deadlines, dispatch, offers
from trips.models import Offer

pytestmark = pytest.mark.django_db


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    with push_service(tmp_path_factory.mktemp("push")) as service:
        yield service


@pytest.fixture
def service(running, settings, monkeypatch):
    running.received.clear()
    running.answer, running.headers = 201, {}
    settings.PUSH_HOSTS = [running.host]
    monkeypatch.setattr(outbound, "tls_context", lambda: ssl.create_default_context(cafile=running.certificate))
    return running


def signed_in(user: User) -> SessionBase:
    """A session of the user, as a browser that has opened a page has it."""
    session = SessionStore()
    session[SESSION_KEY] = str(user.pk)
    session[BACKEND_SESSION_KEY] = "stepper.accounts.backends.AuthenticationBackend"
    session[HASH_SESSION_KEY] = user.get_session_auth_hash()
    session.create()
    sessions._seen.clear()
    sessions.mark_seen(session, address="127.0.0.1", user_agent="Chrome")
    return session


def subscribe(user: User, service: PushService, name: str = "a", session: SessionBase | None = None) -> Any:
    session = session or signed_in(user)
    given = service.subscribe(name)
    return subscriptions.subscribe(user, session.session_key, endpoint=given["endpoint"], **given["keys"])


def work() -> None:
    QueueWorker(PUSH).run_ready()


@pytest.fixture
def user() -> User:
    return PassengerFactory()


def tell(user: User, **more: Any) -> None:
    notify(user, "Your driver is here", message="Grey Camry", audience="passenger", action_url="/trips/1/", **more)


# What arrives


def test_notification_arrives_with_its_page_and_no_more(service, user) -> None:
    subscribe(user, service)
    tell(user)
    work()
    [received] = service.received
    row = user.notifications.get()
    assert received.payload == {
        "title": "Your driver is here",
        "body": "Grey Camry",
        "tag": f"notification-{row.pk}",
        "url": "/trips/1/",
        "topic": "trip",
    }
    assert received.headers["Urgency"] == "normal"
    assert int(received.headers["TTL"]) == pytest.approx(2 * 3600, abs=60)


def test_every_browser_of_the_user_gets_it_and_nobody_elses(service, user) -> None:
    subscribe(user, service, "a")
    subscribe(user, service, "b")
    subscribe(PassengerFactory(), service, "c")
    tell(user)
    work()
    assert sorted(received.path for received in service.received) == ["/a", "/b"]


def test_nothing_is_legible_in_the_queue(service, user) -> None:
    subscribe(user, service)
    tell(user)
    assert "Camry" not in str(DBTaskResult.objects.get().args_kwargs)


def test_kind_that_the_user_does_not_want_does_not_come(service, user) -> None:
    subscribe(user, service)
    subscriptions.choose_topics(user, {Topic.TRIP: False})
    tell(user)
    tell(user, category="booking")
    work()
    assert [received.payload["topic"] for received in service.received] == ["booking"]
    subscriptions.choose_topics(user, {Topic.TRIP: True})
    tell(User.objects.get(pk=user.pk))
    work()
    assert len(service.received) == 2


# When it ends


def end_by_signing_out(user, session):
    session.flush()


def end_by_staff(user, session):
    sessions.end_sessions_of(user.pk)


def end_by_expiry(user, session):
    Session.objects.filter(pk=session.session_key).update(expire_date=timezone.now())


def end_by_sql(user, session):
    Session.objects.filter(pk=session.session_key)._raw_delete("default")


def end_by_password(user, session):
    user.set_password("another long walk home")
    user.save()


def end_by_deactivation(user, session):
    user.is_active = False
    user.save()


ENDS = [end_by_signing_out, end_by_staff, end_by_expiry, end_by_sql, end_by_password, end_by_deactivation]


@pytest.mark.parametrize("end", ENDS)
def test_browser_whose_session_has_ended_gets_nothing(service, user, end) -> None:
    session = signed_in(user)
    subscribe(user, service, session=session)
    end(user, session)
    tell(user)
    assert not DBTaskResult.objects.exists()


@pytest.mark.parametrize("end", ENDS)
def test_browser_whose_session_ends_before_a_push_is_sent_does_not_get_it(service, user, end) -> None:
    session = signed_in(user)
    subscribe(user, service, session=session)
    tell(user)
    end(user, session)
    work()
    assert service.received == []


def test_session_that_gets_another_key_keeps_its_subscription(service, user) -> None:
    session = signed_in(user)
    subscribe(user, service, session=session)
    session.cycle_key()
    sessions._seen.clear()
    sessions.mark_seen(session, address="127.0.0.1", user_agent="Chrome")
    tell(user)
    work()
    assert len(service.received) == 1


def test_signing_out_everywhere_else_keeps_the_browser_that_asks(service, user) -> None:
    mine, other = signed_in(user), signed_in(user)
    subscribe(user, service, "a", session=mine)
    subscribe(user, service, "b", session=other)
    sessions.end_sessions_of(user.pk, keep=mine)
    tell(User.objects.get(pk=user.pk))
    work()
    assert [received.path for received in service.received] == ["/a"]


def test_browser_that_another_user_signs_in_to_gets_only_theirs(service, user) -> None:
    subscribe(user, service)
    other = PassengerFactory()
    subscribe(other, service)
    tell(user)
    tell(other)
    work()
    assert [row.user for row in PushSubscription.objects.all()] == [other]
    assert len(service.received) == 1


def test_push_that_waits_for_one_user_is_not_sent_to_the_next_one_of_that_browser(service, user) -> None:
    subscribe(user, service)
    tell(user)
    subscribe(PassengerFactory(), service)
    work()
    assert service.received == []
    assert DBTaskResult.objects.get().status == "SUCCESSFUL"


def test_push_for_staff_is_not_sent_to_who_is_staff_no_longer(service) -> None:
    colleague, former = StaffFactory(), StaffFactory()
    subscribe(colleague, service, "colleague")
    subscribe(former, service, "former")
    notify_staff("trips.change_trip", lambda: ("Trip 7 is not taken", ""), "/admin/trips/trip/7/change/")
    former.is_staff = False
    former.save()
    work()
    assert [received.path for received in service.received] == ["/colleague"]


def test_push_that_waits_is_sent_to_the_same_user_who_signs_in_again(service, user) -> None:
    subscribe(user, service)
    tell(user)
    subscribe(user, service)
    work()
    assert len(service.received) == 1


# What a push service may answer


@pytest.mark.parametrize("status", [404, 410])
def test_subscription_that_is_gone_is_removed(service, user, status) -> None:
    subscribe(user, service)
    service.answer = status
    tell(user)
    work()
    assert not PushSubscription.objects.exists()
    assert DBTaskResult.objects.get().status == "SUCCESSFUL"


@pytest.mark.parametrize(("status", "ended"), [(429, "READY"), (503, "READY"), (403, "FAILED"), (400, "FAILED")])
def test_service_is_asked_again_unless_it_refuses(service, user, status, ended) -> None:
    subscribe(user, service)
    service.answer = status
    tell(user)
    work()
    assert DBTaskResult.objects.get().status == ended
    assert PushSubscription.objects.exists()


def test_service_that_asks_for_patience_gets_it(service, user) -> None:
    subscribe(user, service)
    service.answer, service.headers = 429, {"Retry-After": "120"}
    tell(user)
    work()
    wait = DBTaskResult.objects.get().run_after - timezone.now()
    assert wait.total_seconds() == pytest.approx(120, abs=2)


def test_redirect_is_not_followed(service, user) -> None:
    subscribe(user, service)
    subscribe(PassengerFactory(), service, "b")
    service.answer, service.headers = 307, {"Location": f"https://{service.host}/b"}
    tell(user)
    work()
    assert [received.path for received in service.received] == ["/a"]
    assert DBTaskResult.objects.get().status == "FAILED"


def test_host_that_was_taken_off_the_list_is_not_called(service, user, settings) -> None:
    subscribe(user, service)
    tell(user)
    settings.PUSH_HOSTS = ["push.example.test"]
    work()
    assert service.received == []


def test_service_that_does_not_answer_is_left_after_a_while(service, user, monkeypatch) -> None:
    monkeypatch.setattr(sending, "TIMEOUT_S", 0.3)
    subscribe(user, service)
    tell(user)
    service.goes_on.clear()
    work()
    service.goes_on.set()
    assert DBTaskResult.objects.get().status == "READY"


def test_resolver_that_does_not_answer_is_left_after_a_while(service, user, monkeypatch) -> None:
    answers, answered = threading.Event(), threading.Event()
    resolve = socket.getaddrinfo

    def hang(*given: Any, **more: Any) -> Any:
        answers.wait(5)
        answered.set()
        return resolve(*given, **more)

    monkeypatch.setattr(sending, "TIMEOUT_S", 0.3)
    subscribe(user, service)
    tell(user)
    monkeypatch.setattr(socket, "getaddrinfo", hang)
    work()
    assert not answered.is_set()
    monkeypatch.undo()
    answers.set()
    assert answered.wait(5)
    assert DBTaskResult.objects.get().status == "READY"


def test_host_without_an_address_is_tried_again(service, user, monkeypatch) -> None:
    def fail(*given: Any, **more: Any) -> Any:
        raise socket.gaierror(socket.EAI_AGAIN, "away")

    subscribe(user, service)
    tell(user)
    monkeypatch.setattr(socket, "getaddrinfo", fail)
    work()
    monkeypatch.undo()
    assert DBTaskResult.objects.get().status == "READY"


def test_service_with_a_certificate_of_its_own_gets_nothing(service, user, monkeypatch) -> None:
    monkeypatch.setattr(outbound, "tls_context", ssl.create_default_context)
    subscribe(user, service)
    tell(user)
    work()
    assert service.received == []


# Who may subscribe


def test_eleventh_browser_is_refused_until_a_session_ends(service, user) -> None:
    mine = [signed_in(user) for _number in range(MOST_OF_A_USER + 1)]
    for number in range(MOST_OF_A_USER):
        subscribe(user, service, str(number), session=mine[number])
    with pytest.raises(Conflict, match=r"push\.too_many"):
        subscribe(user, service, "x", session=mine[-1])
    subscribe(user, service, "0", session=mine[0])
    end_by_expiry(user, mine[1])
    subscribe(user, service, "x", session=mine[-1])
    assert PushSubscription.objects.count() == MOST_OF_A_USER


def test_session_has_one_subscription(service, user) -> None:
    session = signed_in(user)
    subscribe(user, service, "a", session=session)
    subscribe(user, service, "b", session=session)
    assert PushSubscription.objects.get().endpoint.endswith("/b")


def test_who_knows_an_endpoint_only_cannot_take_it_over(service, user) -> None:
    subscribe(user, service)
    thief = PassengerFactory()
    given = service.subscribe("a")
    with pytest.raises(InvalidInput, match=r"push\.endpoint_refused"):
        subscriptions.subscribe(
            thief,
            signed_in(thief).session_key,
            endpoint=given["endpoint"],
            p256dh=service.subscribe("b")["keys"]["p256dh"],
            auth=given["keys"]["auth"],
        )
    assert PushSubscription.objects.get().user == user


def test_session_that_has_ended_subscribes_nothing(service, user) -> None:
    session = signed_in(user)
    session.flush()
    with pytest.raises(NotSignedIn):
        subscribe(user, service, session=session)


@pytest.mark.parametrize("field", ["p256dh", "auth"])
@pytest.mark.parametrize("value", ["", "AAAA", "ü", "A" * 87])
def test_keys_that_are_none_are_refused(service, user, field, value) -> None:
    given = service.subscribe()
    keys = given["keys"] | {field: value}
    with pytest.raises(InvalidInput) as refused:
        subscriptions.subscribe(user, signed_in(user).session_key, endpoint=given["endpoint"], **keys)
    assert f"keys.{field}" in refused.value.fields


def test_without_a_key_nobody_subscribes(service, user, settings) -> None:
    settings.VAPID_PRIVATE_KEY = ""
    with pytest.raises(Conflict, match=r"push\.not_offered"):
        subscribe(user, service)
    tell(user)


# Offers


def test_offer_comes_with_its_deadline_and_actions_and_no_coordinates(service) -> None:
    driver = DriverFactory(at=ALMATY)
    subscribe(driver.user, service)
    trip = TripFactory(status="published")
    dispatch.start_round(trip.pk)
    work()
    offer = Offer.objects.get()
    [received] = service.received
    payload = received.payload
    assert payload["tag"] == received.headers["Topic"] == f"offer-{offer.pk}"
    assert payload["url"] == f"/driver/#offer-{offer.pk}"
    assert payload["until"] == round(offer.expires_at.timestamp() * 1000)
    assert [one["action"] for one in payload["actions"]] == ["open", "close"]
    assert "₸" in payload["title"]
    assert trip.pickup_name in payload["body"]
    assert not re.search(r"\d\.\d{3}", str(payload))
    assert str(trip.organiser.phone) not in str(payload)
    assert received.headers["Urgency"] == "high"
    left_s = (offer.expires_at - timezone.now()).total_seconds()
    assert int(received.headers["TTL"]) == pytest.approx(left_s, abs=5)


def test_offer_is_given_up_at_its_deadline(service) -> None:
    driver = DriverFactory(at=ALMATY)
    subscribe(driver.user, service)
    dispatch.start_round(TripFactory(status="published").pk)
    service.answer = 503
    for _attempt in PUSH.pauses_s:
        work()
        DBTaskResult.objects.filter(status="READY").update(run_after=timezone.now())
        with_time_left = Offer.objects.get().expires_at - timezone.now()
    assert with_time_left > dt.timedelta()
    assert DBTaskResult.objects.get().status == "FAILED"


def expire(offer):
    Offer.objects.update(expires_at=timezone.now() - dt.timedelta(seconds=1))
    deadlines.expire_due_offers()


def take_away(offer):
    other = OfferFactory(trip=offer.trip)
    accepting.accept(other.driver_id, other.pk)


def withdraw(offer):
    offers.withdraw_from_trip(offer.driver_id, offer.trip_id, offers.NO_LONGER_ELIGIBLE)


def decline(offer):
    accepting.decline(offer.driver_id, offer.pk)


def accept(offer):
    accepting.accept(offer.driver_id, offer.pk)


@pytest.mark.parametrize(
    ("end", "words"),
    [
        (expire, "Time ran out."),
        (take_away, "Another driver was faster."),
        (withdraw, "It is no longer offered to you."),
        (decline, "You declined it."),
        (accept, "You accepted it."),
    ],
)
def test_offer_that_has_ended_is_replaced_under_the_same_tag(service, end, words) -> None:
    offer = OfferFactory()
    subscribe(offer.driver.user, service)
    end(offer)
    work()
    ended = [received.payload for received in service.received if received.payload["topic"] == "offer"]
    assert [(one["tag"], one["ended"], one["body"]) for one in ended] == [(f"offer-{offer.pk}", True, words)]


def test_offers_of_who_wants_no_pushes_of_them_do_not_come(service) -> None:
    driver = DriverFactory(at=ALMATY)
    subscribe(driver.user, service)
    subscriptions.choose_topics(driver.user, {Topic.OFFER: False})
    dispatch.start_round(TripFactory(status="published").pk)
    work()
    assert Offer.objects.count() == 1
    assert service.received == []
