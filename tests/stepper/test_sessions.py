"""Where an account is signed in: the list, ending one, the others and all of them, and what "last seen" costs."""

import threading
import time
from typing import Any

import pytest
from allauth.account.models import EmailAddress
from django.contrib.sessions.backends.db import SessionStore
from django.contrib.sessions.models import Session
from django.db import connection, transaction
from django.test import Client, RequestFactory
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIClient

from realtime.auth import identify
from realtime.sockets import heartbeat
from stepper.accounts import sessions
from stepper.accounts.confirmation import CONFIRMED_AT, ConfirmationRequired
from stepper.accounts.devices import describe_device
from stepper.accounts.sessions import SEEN_EVERY_S
from stepper.accounts.sign_in import find_device_id
from stepper.api import tokens
from stepper.api.base import authenticate_token
from stepper.errors import NotFound, NotPermitted, TooManyRequests
from stepper.models import AccountSession, ServiceSettings, User
from tests.backoffice import action_url, member_of_staff, page_url, run_on_list, said, signed_in
from tests.browsing import session_cookie
from tests.factories import PASSWORD, PassengerFactory, StaffFactory

pytestmark = pytest.mark.django_db

ANDROID = (
    "Mozilla/5.0 (Linux; Android 14; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0 Mobile Safari/537.36"
)
IPHONE = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 "
    "Mobile/15E148 Safari/604.1"
)
LIST = "/accounts/sessions/"


@pytest.fixture
def user():
    return PassengerFactory(email="a@example.test")


def browser(user: User, agent: str = ANDROID, address: str = "203.0.113.7") -> Client:
    """A browser in which somebody has just signed in."""
    client = Client(headers={"user-agent": agent}, REMOTE_ADDR=address)
    client.force_login(user)
    # No request signs in by `force_login`, so none says from where.
    AccountSession.objects.filter(session_id=client.session.session_key).update(user_agent=agent, address=address)
    return client


def program(user: User) -> APIClient:
    caller = RequestFactory().get("/", headers={"user-agent": "courier-app/2.1 (x)"})
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {tokens.sign_in(user, caller)['access']}")
    return client


def sign_in_at_the_page(user: User, agent: str, address: str) -> Client:
    client = Client(headers={"user-agent": agent}, REMOTE_ADDR=address)
    assert client.post("/accounts/login/", {"login": user.email, "password": PASSWORD}).status_code == 302
    return client


def is_signed_in(client: Client) -> bool:
    path = "/api/me" if isinstance(client, APIClient) else "/trips/"
    return client.get(path).status_code == 200


def row_of(client: Client) -> AccountSession:
    return AccountSession.objects.get(session_id=client.session.session_key)


def age(client: Client, seconds: int) -> None:
    """Have the browser's user enter their password so long ago."""
    session = client.session
    session[CONFIRMED_AT] = int(time.time()) - seconds
    session.save()


# The list


def test_page_shows_device_address_and_times_and_marks_this_one(user):
    here, other = sign_in_at_the_page(user, ANDROID, "203.0.113.7"), browser(user, IPHONE, "2001:db8::7")
    page = here.get(LIST)
    assert page.context["here"]["row"] == row_of(here)
    assert [shown["row"] for shown in page.context["others"]] == [row_of(other)]
    text = page.content.decode()
    for word in ("Chrome Mobile on Android", "203.0.113.7", "Mobile Safari on iOS", "2001:db8::7", "Signed in"):
        assert word in text
    assert client_key(here) not in text
    assert client_key(other) not in text


def client_key(client: Client) -> str:
    return str(client.session.session_key)


def test_rest_lists_the_same(user):
    browser(user)
    client = program(user)
    rows = client.get("/api/sessions").json()["sessions"]
    assert [(row["device"], row["is_program"], row["is_current"]) for row in rows] == [
        ("Program (courier-app)", True, True),
        ("Chrome Mobile on Android", False, False),
    ]
    assert set(rows[1]) == {"id", "device", "address", "is_program", "is_current", "signed_in_at", "last_seen_at"}
    assert rows[1]["address"] == "203.0.113.7"


@pytest.mark.parametrize("rows", [1, 3])
def test_lists_cost_the_same_for_one_session_and_three(user, query_count, rows):
    client = program(user)
    page = browser(user)
    for _more in range(rows - 1):
        browser(user, IPHONE)
    page.get(LIST)
    with query_count(7, 7):
        page.get(LIST)
    with query_count(4, 4):
        client.get("/api/sessions")


def test_nobody_sees_or_ends_somebody_elses(user):
    mine, theirs = browser(user), browser(PassengerFactory(email="b@example.test"))
    assert mine.get(LIST).context["others"] == []
    assert mine.post(f"{LIST}{row_of(theirs).pk}/end/").status_code == 302
    assert program(user).delete(f"/api/sessions/{row_of(theirs).pk}").json()["code"] == "session.not_found"
    assert is_signed_in(theirs)


def test_session_of_an_old_password_is_listed_no_more(user):
    here, other = browser(user), browser(user, IPHONE)
    changed = {"oldpassword": PASSWORD, "password1": "another long walk", "password2": "another long walk"}
    signed_in_at = row_of(here).signed_in_at
    assert here.post("/accounts/password/change/", changed).status_code == 302
    page = here.get(LIST)
    assert page.context["others"] == []
    # Its key is new.
    assert page.context["here"]["row"].signed_in_at == signed_in_at
    assert not is_signed_in(other)


def test_session_of_an_earlier_release_is_listed_once_it_is_used(user):
    client = Client(headers={"user-agent": IPHONE})
    client.cookies["sessionid"] = session_cookie(user, "http://testserver")["value"]
    assert not sessions.sessions_of(user).exists()
    client.get("/trips/")
    [row] = sessions.sessions_of(user)
    assert (row.signed_in_at, describe_device(row.user_agent, is_program=row.is_program)) == (
        None,
        "Mobile Safari on iOS",
    )


def test_server_of_an_earlier_release_may_delete_an_account_that_is_signed_in(user):
    """It knows nothing of the list of sessions."""
    row = row_of(browser(user))
    EmailAddress.objects.filter(user=user).delete()
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM stepper_user WHERE id = %s", [user.pk])
    connection.check_constraints()
    staff = signed_in(StaffFactory())
    for path in ("/admin/stepper/accountsession/", page_url(row)):
        assert staff.get(path).status_code == 200


def test_signing_in_forgets_what_is_left_of_sessions_that_are_gone(user):
    gone = browser(user)
    AccountSession.objects.filter(pk=row_of(gone).pk).update(session_id="x" * 32)
    browser(user)
    assert AccountSession.objects.filter(user=user).count() == 1


def test_signing_out_and_clearsessions_take_the_row_with_them(user):
    browser(user).post("/accounts/logout/")
    assert not AccountSession.objects.exists()


@pytest.mark.parametrize(
    ("agent", "is_program", "words"),
    [
        (ANDROID, False, "Chrome Mobile on Android"),
        (
            "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:132.0) Gecko/20100101 Firefox/132.0",
            False,
            "Firefox on Windows",
        ),
        ("", False, "Unknown device"),
        ("something nobody has heard of", False, "Unknown device"),
        ("", True, "Program"),
    ],
)
def test_device_in_words(agent, is_program, words):
    assert describe_device(agent, is_program=is_program) == words


# Last seen


@pytest.fixture
def a_while_later(monkeypatch):
    """As long after what was written last that it is due again."""
    later = time.monotonic() + SEEN_EVERY_S
    monkeypatch.setattr(sessions.time, "monotonic", lambda: later)


def updates(client: Client, path: str = "/trips/") -> int:
    with CaptureQueriesContext(connection) as queries:
        client.get(path)
    return sum("accountsession" in query["sql"] for query in queries)


def test_last_seen_costs_nothing_until_it_is_due(user):
    client = browser(user)
    assert [updates(client) for _request in range(3)] == [0, 0, 0]


@pytest.mark.parametrize("kind", [browser, program])
def test_last_seen_is_written_once_when_it_is_due(user, kind, request):
    client = kind(user)
    before = sessions.sessions_of(user).get().last_seen_at
    request.getfixturevalue("a_while_later")
    path = "/api/me" if kind is program else "/trips/"
    assert [updates(client, path) for _request in range(3)] == [1, 0, 0]
    assert sessions.sessions_of(user).get().last_seen_at > before


@pytest.mark.parametrize("path", ["/", "/trips/", "/health/live/"])
def test_invented_cookie_writes_nothing(user, a_while_later, path):
    client = Client()
    client.cookies["sessionid"] = "a" * 32
    assert updates(client, path) == 0


@pytest.mark.parametrize("kind", [browser, program])
def test_session_that_ends_before_it_is_marked_seen_is_no_fault(user, kind, monkeypatch, request):
    client = kind(user)
    request.getfixturevalue("a_while_later")
    AccountSession.objects.all().delete()
    mark = sessions.mark_seen

    def end_and_mark(session: Any, **seen: str) -> None:
        gone = SessionStore(session.session_key)
        Session.objects.all().delete()
        mark(gone, **seen)

    monkeypatch.setattr(sessions, "mark_seen", end_and_mark)
    assert client.get("/api/me").status_code in (200, 401)
    assert not AccountSession.objects.exists()


@pytest.mark.parametrize("kind", [browser, program])
def test_opening_a_socket_counts_as_in_use(user, kind, request):
    client = kind(user)
    row = sessions.sessions_of(user).get()
    request.getfixturevalue("a_while_later")
    if kind is program:
        _bearer, _space, token = client._credentials["HTTP_AUTHORIZATION"].partition(" ")
        scope: Any = {"subprotocols": [f"bearer.{token}"], "headers": []}
    else:
        headers = {"cookie": f"sessionid={client_key(client)}", "origin": "http://testserver", "host": "testserver"}
        scope = {"headers": [(name.encode(), text.encode()) for name, text in headers.items()]}
    scope["headers"].append((b"user-agent", IPHONE.encode()))
    assert identify({"scheme": "ws", "client": ["2001:db8::9", 4000], **scope}).user == user
    seen = AccountSession.objects.get(pk=row.pk)
    assert (seen.address, seen.user_agent) == ("2001:db8::9", IPHONE)
    assert seen.last_seen_at > row.last_seen_at


@pytest.mark.django_db(transaction=True)
async def test_open_socket_counts_as_in_use(user, monkeypatch):
    marked: list[list[str]] = []
    monkeypatch.setattr(heartbeat, "_session_keys", lambda turn: {"one", "two"})
    monkeypatch.setattr(heartbeat.sessions, "mark_all_seen", lambda keys: marked.append(sorted(keys)))
    await heartbeat._mark_sessions_seen(1)
    await heartbeat._mark_sessions_seen(1)
    assert marked == [["one", "two"]]


# Ending


def end_one(client: Any, row: AccountSession) -> Any:
    if isinstance(client, APIClient):
        return client.delete(f"/api/sessions/{row.pk}")
    return client.post(f"{LIST}{row.pk}/end/")


@pytest.mark.parametrize("kind", [browser, program])
def test_ending_one_leaves_the_others(user, kind):
    here, ended, other = kind(user), browser(user), browser(user)
    assert end_one(here, row_of(ended)).status_code in (204, 302)
    assert [is_signed_in(one) for one in (here, ended, other)] == [True, False, True]


def test_ending_one_twice_is_no_fault(user):
    here, ended = browser(user), browser(user)
    row = row_of(ended)
    answers = [end_one(here, row) for _time in range(2)]
    assert [said(answer)[-1] for answer in answers] == [
        "success: Signed out there.",
        "info: This session has ended already.",
    ]


@pytest.mark.parametrize(("kind", "path"), [(browser, f"{LIST}end-others/"), (program, "/api/sessions/end-others")])
def test_everywhere_else_keeps_this_one_only(user, kind, path):
    here, others = kind(user), [browser(user), program(user)]
    unlisted = SessionStore(session_cookie(user, "http://testserver")["value"])
    assert here.post(path).status_code in (204, 302)
    assert is_signed_in(here)
    assert [is_signed_in(other) for other in others] == [False, False]
    assert sessions.sessions_of(User.objects.get(pk=user.pk)).count() == 1
    # One that has no row, as of an earlier release, is worth nothing either.
    assert opens_nothing(unlisted)


def opens_nothing(session: SessionStore) -> bool:
    client = Client()
    client.cookies["sessionid"] = str(session.session_key)
    return client.get("/trips/").status_code == 302


@pytest.mark.parametrize(("kind", "path"), [(browser, f"{LIST}end-all/"), (program, "/api/sessions/end-all")])
def test_everywhere_ends_this_one_too(user, kind, path):
    here, others = kind(user), [browser(user), program(user)]
    assert here.post(path).status_code in (204, 302)
    assert [is_signed_in(one) for one in (here, *others)] == [False] * 3
    assert not sessions.sessions_of(User.objects.get(pk=user.pk)).exists()
    assert is_signed_in(browser(User.objects.get(pk=user.pk)))


def test_kept_program_can_still_refresh(user):
    client, pair = APIClient(), tokens.sign_in(user)
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {pair['access']}")
    assert client.post("/api/sessions/end-others").status_code == 204
    renewed = APIClient().post("/api/token/refresh", {"refresh": pair["refresh"]}, format="json")
    assert renewed.status_code == 200
    assert authenticate_token(renewed.json()["access"]) == user


def test_value_is_stored_beside_what_others_stored_meanwhile(user):
    """The session was read before."""
    key = client_key(browser(user))
    read = SessionStore(key)
    assert read.keys()
    other = SessionStore(key)
    other["theirs"] = 1
    other.save()
    sessions.set_stored(read, "mine", 2)
    stored = SessionStore(key)
    assert (stored["theirs"], stored["mine"], read["mine"]) == (1, 2, 2)


def somebody_waits() -> bool:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_sleep(0.01), count(*) FROM pg_stat_activity "
            "WHERE datname = current_database() AND wait_event_type = 'Lock'"
        )
        return bool(cursor.fetchone()[1])


@pytest.mark.scaled_only
@pytest.mark.django_db(transaction=True)
def test_value_is_stored_beside_what_is_being_stored(user):
    """SQLite has one writer."""
    key = client_key(browser(user))
    session = SessionStore(key)

    def store() -> None:
        try:
            sessions.set_stored(session, "mine", 2)
        finally:
            connection.close()

    storing = threading.Thread(target=store)
    with transaction.atomic():
        other = SessionStore(key)
        other["theirs"] = 1
        other.save()
        storing.start()
        while storing.is_alive() and not somebody_waits():
            pass
    storing.join(30)
    stored = SessionStore(key)
    assert (stored["theirs"], stored["mine"]) == (1, 2)


def test_device_of_an_ended_session_is_a_stranger_again(user):
    lost = sign_in_at_the_page(user, ANDROID, "203.0.113.7")
    assert find_device_id(lost.get("/trips/").wsgi_request, user) is not None
    browser(user).post(f"{LIST}end-others/")
    request = lost.get("/accounts/login/").wsgi_request
    assert find_device_id(request, User.objects.get(pk=user.pk)) is None


def test_hash_upgrade_after_signing_out_everywhere_revives_nothing(user):
    ended = browser(user)
    kept = browser(user)
    kept.post(f"{LIST}end-others/")
    stored = User.objects.get(pk=user.pk)
    stored._upgrade_hash(PASSWORD)
    assert [is_signed_in(one) for one in (ended, kept)] == [False, True]


def test_ending_is_limited_in_the_verb(user):
    ServiceSettings.objects.create(pk=1, changes_per_min=1)
    client = browser(user)
    with pytest.raises(NotFound):
        sessions.end_session(user, client.session, 0)
    with pytest.raises(TooManyRequests):
        sessions.end_session(user, client.session, 0)


# Confirming


@pytest.mark.parametrize("verb", ["end_session", "end_other_sessions", "end_all_sessions"])
def test_verbs_want_the_password_again_after_a_while(user, verb):
    client = browser(user)
    age(client, 31 * 60)
    more = [row_of(client).pk] if verb == "end_session" else []
    with pytest.raises(ConfirmationRequired):
        getattr(sessions, verb)(user, client.session, *more)
    assert is_signed_in(client)


# Staff


def test_staff_sign_somebody_out_everywhere(user):
    client, other = browser(user), program(user)
    staff = member_of_staff("stepper.view_user", "stepper.change_user")
    assert staff.get(action_url(user, "end_sessions")).status_code == 200
    assert staff.post(action_url(user, "end_sessions")).status_code == 302
    assert [is_signed_in(one) for one in (client, other)] == [False, False]


def test_staff_sign_several_people_out(user):
    other = PassengerFactory(email="b@example.test")
    clients = [browser(user), browser(other)]
    run_on_list(signed_in(StaffFactory()), "end_sessions", [user, other], confirmed="yes")
    assert [is_signed_in(one) for one in clients] == [False, False]


def test_staff_without_the_permission_may_not(user):
    client = browser(user)
    assert member_of_staff("stepper.view_user").post(action_url(user, "end_sessions")).status_code == 403
    with pytest.raises(NotPermitted):
        sessions.end_sessions_by_staff(user.pk, StaffFactory(is_superuser=False))
    assert is_signed_in(client)


def test_staff_may_not_sign_out_a_colleague_without_being_a_superuser():
    colleague = StaffFactory(email="b@example.test", is_superuser=False)
    client = browser(colleague)
    staff = member_of_staff("stepper.view_user", "stepper.change_user")
    staff.post(action_url(colleague, "end_sessions"))
    assert is_signed_in(client)
    signed_in(StaffFactory()).post(action_url(colleague, "end_sessions"))
    assert not is_signed_in(client)


def test_staff_see_sessions_and_nothing_that_would_open_them(user):
    client = browser(user)
    row = row_of(client)
    staff = member_of_staff("stepper.view_accountsession")
    for path in ("/admin/stepper/accountsession/", page_url(row)):
        text = staff.get(path).content.decode()
        assert "Chrome Mobile on Android" in text
        assert client_key(client) not in text
        assert row.auth_hash not in text
