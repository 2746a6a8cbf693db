"""The security log: what it says of ways in, how a flood is counted, and that nobody waits for it."""

import contextlib
import logging
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.hashers import make_password
from django.db import DatabaseError, connection, transaction
from django.test import Client, RequestFactory
from django.test.utils import CaptureQueriesContext

from stepper import security_log
from stepper.models import SecurityEvent, SecurityEventCode, User
from stepper.security_log import login_digest
from tests.backoffice import member_of_staff, page_url, signed_in
from tests.factories import PASSWORD, PassengerFactory, StaffFactory

pytestmark = pytest.mark.django_db

EMAIL = "aigerim@example.test"
NEW = "a whole new battery"
FROM = "192.0.2.7"


@pytest.fixture(autouse=True)
def _cheap_hashes(settings: Any) -> None:
    # The factories hash their password once for all tests: not with this one, which no server knows.
    PassengerFactory.build()
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher", *settings.PASSWORD_HASHERS]


@pytest.fixture
def user() -> User:
    made: User = PassengerFactory.create(email=EMAIL, phone="+77012345678", password=make_password(PASSWORD))
    return made


def on_page(login: str, password: str = PASSWORD, client: Client | None = None, **more: Any) -> Any:
    form = {"login": login, "password": password}
    return (client or Client()).post("/accounts/login/", form, **{"REMOTE_ADDR": FROM, **more})


def over_rest(login: str, password: str = PASSWORD, **more: Any) -> Any:
    body = {"email" if "@" in login else "phone": login, "password": password}
    return Client().post("/api/token", body, content_type="application/json", **{"REMOTE_ADDR": FROM, **more})


def events(*names: str) -> list[tuple[Any, ...]]:
    """The rows so far, oldest first, of these columns."""
    return list(SecurityEvent.objects.order_by("pk").values_list("event", *names))


# Ways in and out


@pytest.mark.parametrize(("way", "transport"), [(on_page, "page"), (over_rest, "rest")])
def test_sign_in_is_logged(user: User, way: Callable[..., Any], transport: str) -> None:
    way(EMAIL)
    assert events("subject", "actor", "address", "transport", "count") == [
        ("sign_in.succeeded", user.pk, user.pk, FROM, transport, 1)
    ]


@pytest.mark.parametrize(("way", "transport"), [(on_page, "page"), (over_rest, "rest")])
def test_failed_sign_in_is_logged_with_the_account(user: User, way: Callable[..., Any], transport: str) -> None:
    way("8 701 234 56 78", "wrong")
    assert events("subject", "actor", "login_digest", "address", "transport") == [
        ("sign_in.failed", user.pk, None, "", FROM, transport)
    ]


def test_unknown_login_is_logged_as_a_digest_that_a_search_finds() -> None:
    over_rest("Nobody@Example.test", "hunter2 of somebody")
    [row] = SecurityEvent.objects.values()
    assert row["login_digest"] == login_digest(" nobody@example.test ")
    assert "nobody" not in str(row).lower()
    assert "hunter2" not in str(row)


def test_failures_of_a_minute_are_one_row_and_the_lockout_another(user: User) -> None:
    for _attempt in range(5):
        over_rest(EMAIL, "wrong")
    for _attempt in range(9):
        assert over_rest(EMAIL, "wrong").status_code == 429
    assert events("subject", "count") == [
        ("sign_in.failed", user.pk, 5),
        ("sign_in.locked", user.pk, 1),
        ("sign_in.refused", user.pk, 9),
    ]


def test_failures_of_the_next_minute_are_another_row(user: User, time_machine: Any) -> None:
    time_machine.move_to(1_800_000_000, tick=False)
    over_rest(EMAIL, "wrong")
    time_machine.shift(61)
    over_rest(EMAIL, "wrong")
    assert events("count") == [("sign_in.failed", 1)] * 2


def test_deactivated_account_with_its_password_is_a_failure(user: User) -> None:
    User.objects.filter(pk=user.pk).update(is_active=False)
    over_rest(EMAIL)
    assert events("subject", "details")[-1] == ("sign_in.failed", user.pk, "deactivated account")


def test_wrong_password_of_somebody_signed_in_names_both(user: User) -> None:
    client = signed_in(user)
    client.post("/accounts/password/change/", {"oldpassword": "wrong", "password1": NEW, "password2": NEW})
    assert events("subject", "actor")[-1] == ("sign_in.failed", user.pk, user.pk)


def test_sign_up_is_logged() -> None:
    form = {"name": "Aigerim", "phone": "", "email": "new@example.test", "password1": NEW}
    Client().post("/accounts/signup/", form)
    new = User.objects.get()
    assert sorted(events("subject")) == [("account.created", new.pk), ("sign_in.succeeded", new.pk)]


@pytest.mark.parametrize("path", ["/accounts/logout/", "/admin/logout/"])
def test_sign_out_is_logged(user: User, path: str) -> None:
    client = signed_in(user)
    client.post(path)
    assert events("subject", "actor")[-1] == ("sign_out", user.pk, user.pk)


def test_program_that_signs_out_is_logged(user: User) -> None:
    access = over_rest(EMAIL).json()["access"]
    Client().post("/api/token/revoke", headers={"Authorization": f"Bearer {access}"})
    assert events("subject", "transport")[-1] == ("sign_out", user.pk, "rest")


def test_refreshed_and_reused_tokens_are_logged(user: User) -> None:
    refresh = {"refresh": over_rest(EMAIL).json()["refresh"]}
    SecurityEvent.objects.all().delete()
    for _use in range(2):
        Client().post("/api/token/refresh", refresh, content_type="application/json", REMOTE_ADDR=FROM)
    assert set(events("subject", "address")) == {
        ("token.refreshed", user.pk, FROM),
        ("token.reused", user.pk, FROM),
        ("sign_out", user.pk, FROM),
    }


def test_no_token_or_password_is_in_the_log(user: User, caplog: Any) -> None:
    tokens = over_rest(EMAIL).json()
    for _use in range(2):
        Client().post("/api/token/refresh", {"refresh": tokens["refresh"]}, content_type="application/json")
    over_rest(EMAIL, "wrong password of mine")
    user.set_password(NEW)
    user.save()
    written = str(list(SecurityEvent.objects.values())) + caplog.text
    secrets = [*map(str, tokens.values()), PASSWORD, NEW, "wrong password", user.password]
    assert [one for one in secrets if len(one) > 6 and one in written] == []


def test_requested_reset_is_logged_alike_for_known_and_unknown(user: User, settings: Any) -> None:
    settings.MAIL_OFFERED = True
    for email in (EMAIL, "nobody@example.test"):
        Client().post("/accounts/password/reset/", {"email": email})
    assert events("subject", "login_digest") == [
        ("password.reset_requested", None, login_digest(EMAIL)),
        ("password.reset_requested", None, login_digest("nobody@example.test")),
    ]


def test_page_of_the_administration_that_is_refused_is_logged(user: User) -> None:
    staff = member_of_staff("trips.view_trip")
    SecurityEvent.objects.all().delete()
    for client in (staff, signed_in(user)):
        SecurityEvent.objects.all().delete()
        for _visit in range(2):
            assert client.get("/admin/stepper/user/", follow=True).status_code == 403
        [(_event, actor, count)] = events("actor", "count")
        assert (str(actor), count) == (client.session["_auth_user_id"], 2)


# What is written when


class Undone(Exception):
    """Rolls a transaction back."""


def test_failure_survives_the_rollback_of_its_transaction(rf: RequestFactory) -> None:
    with security_log.collect(rf.get("/")), contextlib.suppress(Undone), transaction.atomic():
        security_log.count(SecurityEventCode.SIGN_IN_FAILED, login="x@example.test")
        raise Undone
    assert events() == [("sign_in.failed",)]


def test_change_that_is_rolled_back_is_not_in_the_log(user: User) -> None:
    with contextlib.suppress(Undone), transaction.atomic():
        User.objects.filter(pk=user.pk).update(is_staff=True)
        assert events() == [("rights.changed",)]
        raise Undone
    assert events() == []


def refuse_log(run: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
    """The database refuses every write of the log."""
    if "stepper_securityevent" in sql and not sql.startswith("SELECT"):
        raise DatabaseError("no room")
    return run(sql, params, many, context)


@pytest.mark.parametrize("way", [on_page, over_rest])
def test_people_sign_in_while_the_log_cannot_be_written(user: User, way: Callable[..., Any], caplog: Any) -> None:
    with connection.execute_wrapper(refuse_log):
        assert way(EMAIL).status_code in (200, 302)
    assert events() == []
    assert f"(no room): sign_in.succeeded account {user.pk} by {user.pk} from {FROM}" in caplog.text


def test_driver_or_staff_change_goes_on_while_the_log_cannot_be_written(user: User, caplog: Any) -> None:
    with transaction.atomic(), connection.execute_wrapper(refuse_log):
        user.is_active = False
        user.save()
    assert not User.objects.get(pk=user.pk).is_active
    assert f"(no room): account.deactivated account {user.pk}" in caplog.text


def test_sign_in_costs_one_statement_of_the_log(user: User) -> None:
    with CaptureQueriesContext(connection) as captured:
        over_rest(EMAIL)
    assert len([query for query in captured if "stepper_securityevent" in query["sql"]]) == 1


# Floods


def fail(rf: RequestFactory, login: str, address: str) -> None:
    with security_log.collect(rf.get("/api/token", REMOTE_ADDR=address)):
        security_log.count(SecurityEventCode.SIGN_IN_FAILED, login=login)


def test_flood_over_many_logins_ends_in_one_row(monkeypatch: pytest.MonkeyPatch, rf: RequestFactory) -> None:
    monkeypatch.setattr(security_log, "ROWS_PER_MIN", 3)
    for number in range(10):
        for _attempt in range(2):
            fail(rf, f"guess{number}@example.test", f"198.51.100.{number}")
    rows = list(SecurityEvent.objects.order_by("pk").values_list("login_digest", "address", "count"))
    assert [row[2] for row in rows] == [2, 2, 2, 14]
    assert rows[3][:2] == ("", "")


def test_flood_from_one_network_is_one_row_of_it_and_the_others_keep_theirs(rf: RequestFactory) -> None:
    for number in range(30):
        fail(rf, f"guess{number}@example.test", f"2001:db8:0:1::{number}")
    fail(rf, "somebody@example.test", FROM)
    rows = list(SecurityEvent.objects.order_by("pk").values_list("login_digest", "address", "count"))
    assert len(rows) == 22
    assert [bool(row[0]) for row in rows[:20]] == [True] * 20
    assert rows[20] == ("", "2001:db8:0:1::20", 10)
    assert rows[21] == (login_digest("somebody@example.test"), FROM, 1)


def test_flood_from_many_networks_is_one_row_beyond_the_budget_of_all(
    monkeypatch: pytest.MonkeyPatch, rf: RequestFactory
) -> None:
    monkeypatch.setattr(security_log, "ROWS_PER_MIN", 5)
    monkeypatch.setattr(security_log, "ROWS_PER_NETWORK", 2)
    for number in range(5):
        for attempt in range(4):
            fail(rf, f"guess{attempt}@example.test", f"198.51.100.{number}")
    rows = list(SecurityEvent.objects.order_by("pk").values_list("address", "count"))
    assert rows == [
        *[("198.51.100.0", 1), ("198.51.100.0", 1), ("198.51.100.0", 2)],
        *[("198.51.100.1", 1), ("198.51.100.1", 1), ("", 2 + 3 * 4)],
    ]


def test_flood_takes_no_name_from_what_needs_a_password(
    user: User, monkeypatch: pytest.MonkeyPatch, rf: RequestFactory
) -> None:
    monkeypatch.setattr(security_log, "ROWS_PER_MIN", 0)
    fail(rf, "guess@example.test", "198.51.100.1")
    first, second = over_rest(EMAIL).json(), over_rest(EMAIL, REMOTE_ADDR="192.0.2.8").json()
    for _use in range(2):
        body = {"refresh": first["refresh"]}
        Client().post("/api/token/refresh", body, content_type="application/json", REMOTE_ADDR=FROM)
    access = {"Authorization": f"Bearer {second['access']}"}
    Client().post("/api/token/revoke", headers=access, REMOTE_ADDR="192.0.2.8")
    assert set(events("subject", "address")) == {
        ("sign_in.failed", None, ""),
        ("sign_in.succeeded", user.pk, FROM),
        ("sign_in.succeeded", user.pk, "192.0.2.8"),
        ("token.refreshed", user.pk, FROM),
        ("token.reused", user.pk, FROM),
        ("sign_out", user.pk, FROM),
        ("sign_out", user.pk, "192.0.2.8"),
    }


def refreshed(rf: RequestFactory, user: User, address: str) -> None:
    with security_log.collect(rf.get("/api/token/refresh", REMOTE_ADDR=address)):
        security_log.count(SecurityEventCode.TOKEN_REFRESHED, subject_id=user.pk, actor_id=user.pk)


def test_refreshed_tokens_of_some_hours_are_one_row(user: User, rf: RequestFactory, time_machine: Any) -> None:
    time_machine.move_to(1_800_000_000, tick=False)
    for _hour in range(6):
        refreshed(rf, user, FROM)
        time_machine.shift(3600)
    refreshed(rf, user, FROM)
    assert events("address", "count") == [("token.refreshed", FROM, 6), ("token.refreshed", FROM, 1)]


def test_refreshed_tokens_from_ever_more_networks_end_in_one_row_of_the_account(user: User, rf: RequestFactory) -> None:
    for number in range(9):
        refreshed(rf, user, f"198.51.100.{number}")
    assert events("subject", "address", "count") == [
        *(("token.refreshed", user.pk, f"198.51.100.{number}", 1) for number in range(4)),
        ("token.refreshed", user.pk, "", 5),
    ]


def test_refreshed_tokens_leave_the_budget_of_failures_alone(
    user: User, rf: RequestFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(security_log, "ROWS_PER_NETWORK", 1)
    monkeypatch.setattr(security_log, "ROWS_PER_MIN", 1)
    refreshed(rf, user, FROM)
    fail(rf, EMAIL, FROM)
    assert events("address", "login_digest")[-1] == ("sign_in.failed", FROM, login_digest(EMAIL))


def test_flood_of_one_login_costs_ever_fewer_statements(rf: RequestFactory) -> None:
    with CaptureQueriesContext(connection) as captured:
        for _attempt in range(130):
            fail(rf, "x@example.test", FROM)
    assert events("count") == [("sign_in.failed", 128)]
    assert len([query for query in captured if "stepper_securityevent" in query["sql"]]) == 64 + 1


@pytest.mark.parametrize("is_known", [True, False])
def test_lines_of_failures_say_who_and_from_where(user: User, caplog: Any, is_known: bool) -> None:
    with caplog.at_level(logging.INFO, "stepper.security_log"):
        over_rest(EMAIL if is_known else "nobody@example.test", "wrong")
    who = f"account {user.pk}" if is_known else f"login {login_digest('nobody@example.test')}"
    assert [record.getMessage() for record in caplog.records if record.name == "stepper.security_log"] == [
        f"sign_in.failed {who} from {FROM} (rest)"
    ]


@pytest.mark.parametrize("text", ["a\nb", "a\r\n2026 INFO x", "\x1b[31mred", "\u202eevil", "\x00", "a\u2028b"])
def test_control_characters_are_neutralised(rf: RequestFactory, text: str) -> None:
    with security_log.collect(rf.get("/", REMOTE_ADDR=text)):
        security_log.record(SecurityEventCode.SETTINGS_CHANGED, details=text * 400)
    row = SecurityEvent.objects.get()
    assert row.details.isprintable()
    assert row.address.isprintable()


# The table


@pytest.mark.parametrize("verb", ["save", "delete"])
def test_row_is_neither_changed_nor_deleted_by_itself(verb: str) -> None:
    security_log.record(SecurityEventCode.SETTINGS_CHANGED)
    with pytest.raises(TypeError):
        getattr(SecurityEvent.objects.get(), verb)()


def test_log_outlives_the_account(user: User) -> None:
    over_rest(EMAIL)
    pk = user.pk
    user.delete()
    assert events("subject_id") == [("sign_in.succeeded", pk), ("account.deleted", pk)]
    page = signed_in(StaffFactory.create()).get("/admin/stepper/securityevent/")
    assert f"deleted account ({pk})" in page.content.decode()


# In the administration


def test_log_is_shown_with_its_permission_only(user: User) -> None:
    over_rest(EMAIL)
    row = SecurityEvent.objects.get()
    for allowed, permission in ((True, "stepper.view_securityevent"), (False, "stepper.view_user")):
        client = member_of_staff(permission)
        answers = {client.get(url).status_code for url in ("/admin/stepper/securityevent/", page_url(row))}
        assert answers == ({200} if allowed else {403})
        assert ("/admin/stepper/securityevent/" in client.get("/admin/").content.decode()) == allowed


def test_nobody_changes_or_deletes_it_in_the_administration(user: User) -> None:
    over_rest(EMAIL)
    row = SecurityEvent.objects.get()
    client = signed_in(StaffFactory.create())
    before = SecurityEvent.objects.filter(pk=row.pk).values().get()
    assert client.post(page_url(row), {"details": "x"}).status_code == 403
    assert client.post(page_url(row).replace("change", "delete"), {"post": "yes"}).status_code == 403
    assert client.get("/admin/stepper/securityevent/add/").status_code == 403
    assert SecurityEvent.objects.filter(pk=row.pk).values().get() == before


@pytest.mark.parametrize(
    ("term", "found"),
    [
        (EMAIL, ["sign_in.failed"]),
        ("8 701 234 56 78", ["sign_in.failed"]),
        ("Nobody@example.test", ["sign_in.failed"]),
        ("198.51.100.9", ["sign_in.failed"]),
        ("somebody else", []),
    ],
)
def test_log_is_searched_by_account_login_and_address(user: User, term: str, found: list[str]) -> None:
    over_rest(EMAIL, "wrong")
    over_rest("nobody@example.test", "wrong", REMOTE_ADDR="198.51.100.9")
    client = member_of_staff("stepper.view_securityevent")
    page = client.get("/admin/stepper/securityevent/", {"q": term})
    assert [row.event for row in page.context["cl"].result_list] == found


def test_log_is_filtered_by_event(user: User) -> None:
    over_rest(EMAIL, "wrong")
    over_rest(EMAIL)
    client = member_of_staff("stepper.view_securityevent")
    page = client.get("/admin/stepper/securityevent/", {"event": "sign_in.failed"})
    assert {row.event for row in page.context["cl"].result_list} == {"sign_in.failed"}
