"""Codes of the second factor: which count, each once, and how their secrets are stored."""

import threading

import pytest
from allauth.mfa.models import Authenticator
from django.db import connection

from stepper.accounts import codes, second_factor
from stepper.accounts.factor_adapter import FactorAdapter, SecretUnreadable
from stepper.models import SecurityEvent
from tests.factories import PassengerFactory
from tests.factors import SECRET, code_at, code_now, give_second_factor


@pytest.fixture
def user(db):
    return PassengerFactory(email="a@example.test")


@pytest.mark.embedded_only
@pytest.mark.parametrize(
    ("moment", "code"),
    [(59, "287082"), (1111111109, "081804"), (1111111111, "050471"), (1234567890, "005924"), (2000000000, "279037")],
)
def test_codes_are_those_of_the_standard(monkeypatch, moment, code):
    """RFC 6238, appendix B, of which six digits are used."""
    monkeypatch.setattr("time.time", lambda: moment)
    assert code_at(moment) == code
    assert codes.find_step(SECRET, code) == moment // 30


@pytest.mark.embedded_only
@pytest.mark.parametrize(("steps", "counts"), [(-2, False), (-1, True), (0, True), (1, True), (2, False)])
def test_code_counts_for_its_step_and_the_neighbours(monkeypatch, steps, counts):
    monkeypatch.setattr("time.time", lambda: 1_800_000_000)
    assert (codes.find_step(SECRET, code_at(1_800_000_000 + 30 * steps)) is not None) is counts


def test_code_works_once(user):
    give_second_factor(user)
    code = code_now()
    assert codes.use_code(user, code)
    assert not codes.use_code(user, code)


def test_code_works_once_also_in_the_next_step_and_when_the_cache_is_empty(user, monkeypatch):
    give_second_factor(user)
    now = 1_800_000_000
    monkeypatch.setattr("time.time", lambda: now)
    code = code_at(now)
    assert codes.use_code(user, code)
    now += 30
    assert not codes.use_code(user, code)
    assert codes.use_code(user, code_at(now))


def test_earlier_code_is_refused_after_a_later_one(user):
    give_second_factor(user)
    assert codes.use_code(user, code_now(steps=1))
    assert not codes.use_code(user, code_now())


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("kind", ["app", "recovery"])
def test_code_sent_twice_at_the_same_moment_is_accepted_once(transactional_db, kind):
    user = PassengerFactory()
    recovery = give_second_factor(user)
    code = code_now() if kind == "app" else recovery[0]
    start, accepted = threading.Barrier(2), []

    def use() -> None:
        start.wait(timeout=10)
        try:
            accepted.append(codes.use_code(user, code))
        finally:
            connection.close()

    threads = [threading.Thread(target=use) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(accepted) == [False, True]


def test_recovery_code_works_once_however_it_is_written(user):
    first, second, *_rest = give_second_factor(user)
    assert codes.use_code(user, f"{first[:4]} {first[4:]}")
    assert not codes.use_code(user, first)
    assert codes.use_code(user, second)
    assert second_factor.count_recovery_codes(user) == 8
    assert SecurityEvent.objects.filter(event="recovery_code.used", subject=user).exists()


@pytest.mark.parametrize("code", ["", "000000x", "٣٣٣٣٣٣", "\x00"])
def test_what_is_no_code_is_wrong(user, code):
    give_second_factor(user)
    assert not codes.use_code(user, code)


def test_somebody_elses_codes_are_wrong(user):
    other = PassengerFactory()
    recovery = give_second_factor(other)
    assert not codes.use_code(user, code_now())
    assert not codes.use_code(user, recovery[0])


def test_recovery_codes_alone_open_nothing(user):
    recovery = give_second_factor(user)
    Authenticator.objects.filter(user=user, type="totp").delete()
    assert not codes.use_code(user, recovery[0])
    assert not codes.has_second_factor(user)


# At rest


def test_secrets_are_not_in_the_database(user):
    recovery = give_second_factor(user)
    with connection.cursor() as cursor:
        cursor.execute("SELECT data FROM mfa_authenticator")
        stored = str(cursor.fetchall())
    assert len(stored) > 200
    assert SECRET not in stored
    assert not [code for code in recovery if code in stored]
    seed = FactorAdapter().decrypt(Authenticator.objects.get(type="recovery_codes").data["seed"])
    assert seed not in stored


@pytest.mark.embedded_only
def test_same_secret_is_never_stored_alike():
    adapter = FactorAdapter()
    assert adapter.encrypt(SECRET) != adapter.encrypt(SECRET)
    assert adapter.decrypt(adapter.encrypt(SECRET)) == SECRET


@pytest.mark.embedded_only
def test_secret_that_was_changed_is_unreadable():
    stored = FactorAdapter().encrypt(SECRET)
    middle = len(stored) // 2
    changed = stored[:middle] + ("A" if stored[middle] != "A" else "B") + stored[middle + 1 :]
    with pytest.raises(SecretUnreadable):
        FactorAdapter().decrypt(changed)


def test_another_secret_key_makes_codes_wrong_and_a_line_in_the_log(user, settings, caplog):
    recovery = give_second_factor(user)
    settings.SECRET_KEY = "another one, also long enough to sign with"
    assert not codes.use_code(user, code_now())
    assert not codes.use_code(user, recovery[0])
    assert second_factor.count_recovery_codes(user) == 0
    assert f"the second factor of account {user.pk} cannot be read" in caplog.text
    assert codes.has_second_factor(user)
