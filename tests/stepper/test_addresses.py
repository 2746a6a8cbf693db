"""One address a user: changing it takes a proof, a link to the new address and a note to the old one."""

import base64
import datetime as dt
import re
import threading
from importlib import import_module
from types import SimpleNamespace
from typing import Any

import pytest
import time_machine
from allauth.account.models import EmailAddress
from django.apps import apps
from django.conf import settings
from django.contrib.auth import authenticate
from django.core import mail as django_mail
from django.core.cache import cache
from django.db import connection
from django.db.migrations import RunPython
from django.test import Client, RequestFactory

from stepper.accounts import addresses, sign_in
from stepper.accounts.addresses import (
    CHANGES_PER_HOUR,
    CHANGES_TO_ADDRESS_PER_HOUR,
    CODE_TRIES,
    CODES_PER_HOUR,
    confirm_change,
    request_change,
    send_code,
)
from stepper.errors import Conflict, DomainError, InvalidInput, NotPermitted, TooManyRequests
from stepper.models import AddressChange, AddressCode, ServiceSettings, User
from tests.backoffice import list_url, page_url, queries_of, signed_in
from tests.factories import PASSWORD, PassengerFactory, StaffFactory

pytestmark = pytest.mark.django_db(transaction=True)

BASE = "https://go.example.test"
NEW = "new@example.test"
REQUEST = RequestFactory().post("/account/")


@pytest.fixture(autouse=True)
def _fresh_counters():
    cache.clear()


@pytest.fixture
def user():
    return PassengerFactory(email="old@example.test")


def without_password(**fields):
    user = PassengerFactory(**fields)
    user.set_unusable_password()
    user.save()
    return user


def ask(user, email=NEW, proof=PASSWORD):
    request_change(REQUEST, user, email=email, proof=proof, base_url=BASE)
    return token()


def token():
    """What the last mail's link carries."""
    [link] = re.findall(rf"{BASE}/accounts/e-mail/(\S+)/", str(django_mail.outbox[-1].body))
    return link


def code():
    [found] = re.findall(r"^\d{6}$", str(django_mail.outbox[-1].body), re.MULTILINE)
    return found


def refusal(of, *args, **kwargs):
    with pytest.raises(DomainError) as refused:
        of(*args, **kwargs)
    return refused.value.code


def stored(user):
    return User.objects.get(pk=user.pk).email


def recipients():
    return [message.to for message in django_mail.outbox]


# With a password


def test_change_counts_once_the_link_is_opened_and_tells_the_old_address(user):
    link = ask(user, " New@Example.test ")
    assert stored(user) == "old@example.test"
    assert recipients() == [[NEW]]
    confirm_change(user, link)
    assert stored(user) == NEW
    assert recipients() == [[NEW], ["old@example.test"]]
    assert NEW not in str(django_mail.outbox[-1].body)
    assert authenticate(None, email=NEW, password=PASSWORD) == user
    assert authenticate(None, email="old@example.test", password=PASSWORD) is None


def test_allauths_table_has_the_new_address_only(user):
    EmailAddress.objects.create(user=user, email=user.email, primary=True)
    confirm_change(user, ask(user))
    [row] = EmailAddress.objects.all()
    assert (row.user, row.email, row.primary, row.verified) == (user, NEW, True, True)


def test_account_with_a_phone_only_adds_its_first_address_by_its_password():
    user = PassengerFactory(email=None)
    confirm_change(user, ask(user))
    assert stored(user) == NEW
    assert recipients() == [[NEW]]


@pytest.mark.parametrize("proof", ["", "wrong", "!"])
def test_wrong_password_sends_nothing(user, proof):
    assert refusal(request_change, REQUEST, user, email=NEW, proof=proof, base_url=BASE) == "address.proof_wrong"
    assert (recipients(), AddressChange.objects.count()) == ([], 0)


@pytest.mark.parametrize("email", ["", "nobody", "a@b", "old@example.test", "OLD@example.test", "a" * 250 + "@b.test"])
def test_address_that_is_none_or_the_present_one_is_refused_at_its_field(user, email):
    with pytest.raises(InvalidInput) as refused:
        ask(user, email)
    assert (refused.value.code, set(refused.value.fields)) == ("input.invalid", {"email"})


def test_taken_address_is_answered_as_a_free_one_and_said_to_who_opens_the_link(user):
    other = PassengerFactory(email="taken@example.test")
    link = ask(user, "Taken@example.test")
    assert recipients() == [["taken@example.test"]]
    assert refusal(confirm_change, user, link) == "address.taken"
    assert (stored(user), stored(other)) == ("old@example.test", "taken@example.test")
    assert len(recipients()) == 1


def test_alias_in_allauths_table_takes_no_address(user):
    stranger = PassengerFactory()
    EmailAddress.objects.bulk_create([EmailAddress(user=stranger, email=NEW, verified=True, primary=True)])
    confirm_change(user, ask(user))
    assert stored(user) == NEW
    assert [row.user for row in EmailAddress.objects.filter(email=NEW)] == [user]


# The link


def test_link_works_once(user):
    link = ask(user)
    confirm_change(user, link)
    user.refresh_from_db()
    assert refusal(confirm_change, user, link) == "address.link_invalid"


def test_link_stays_used_after_the_address_was_changed_back(user):
    first = ask(user)
    confirm_change(user, first)
    user.refresh_from_db()
    confirm_change(user, ask(user, "old@example.test"))
    user.refresh_from_db()
    assert refusal(confirm_change, user, first) == "address.link_invalid"
    assert stored(user) == "old@example.test"


def test_link_is_replaced_by_the_next(user):
    first, second = ask(user, "typo@example.test"), ask(user)
    assert refusal(confirm_change, user, first) == "address.link_invalid"
    confirm_change(user, second)
    assert stored(user) == NEW


def test_link_expires(user):
    with time_machine.travel(dt.datetime.now(dt.UTC) - addresses.LINK_AGE, tick=False):
        link = ask(user)
    assert refusal(confirm_change, user, link) == "address.link_invalid"


def test_links_have_128_random_bits(user):
    first, second = (base64.urlsafe_b64decode(f"{ask(user)}==") for _ in range(2))
    equal = sum(one == other for one, other in zip(first, second, strict=True))
    # Every byte is drawn anew; a few may be the same by chance.
    assert (len(first) - equal) * 8 >= 128


@pytest.mark.parametrize("token", ["", "x", "None"])
def test_made_up_link_is_refused(user, token):
    assert refusal(confirm_change, user, token) == "address.link_invalid"
    ask(user)
    assert refusal(confirm_change, user, token) == "address.link_invalid"


def test_link_is_of_no_use_to_somebody_else(user):
    link, stranger = ask(user), PassengerFactory()
    assert refusal(confirm_change, stranger, link) == "address.link_invalid"
    ask(stranger, "other@example.test")
    assert refusal(confirm_change, stranger, link) == "address.link_invalid"


@pytest.mark.parametrize("change", ["email", "password"])
def test_link_ends_with_the_address_and_the_password_it_was_asked_with(user, change):
    link = ask(user)
    if change == "email":
        user.email = "third@example.test"
    else:
        user.set_password("a long walk home")
    user.save()
    assert refusal(confirm_change, user, link) == "address.link_invalid"


def test_link_opened_by_two_at_once_changes_the_address_once(user):
    link, barrier, outcomes = ask(user), threading.Barrier(2), []

    def confirm():
        barrier.wait()
        try:
            confirm_change(user, link)
            outcomes.append("changed")
        except Conflict as error:
            outcomes.append(error.code)
        finally:
            connection.close()

    threads = [threading.Thread(target=confirm) for _one in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["address.link_invalid", "changed"]
    assert recipients().count(["old@example.test"]) == 1


# Without a password


def test_account_without_a_password_proves_itself_by_a_code_to_its_address():
    user = without_password(email="old@example.test")
    send_code(user)
    assert recipients() == [["old@example.test"]]
    confirm_change(user, ask(user, proof=code()))
    assert stored(user) == NEW


@pytest.mark.parametrize("proof", ["", "!", "000000", PASSWORD])
def test_account_without_a_password_never_passes_without_the_code(proof):
    user = without_password(email="old@example.test")
    assert refusal(request_change, REQUEST, user, email=NEW, proof=proof, base_url=BASE) == "address.proof_wrong"
    send_code(user)
    wrong = "111111" if proof == code() else proof
    assert refusal(request_change, REQUEST, user, email=NEW, proof=wrong, base_url=BASE) == "address.proof_wrong"
    assert AddressChange.objects.count() == 0


def test_code_works_once():
    user = without_password(email="old@example.test")
    send_code(user)
    right = code()
    ask(user, proof=right)
    assert refusal(request_change, REQUEST, user, email=NEW, proof=right, base_url=BASE) == "address.proof_wrong"


def test_code_expires():
    user = without_password(email="old@example.test")
    with time_machine.travel(dt.datetime.now(dt.UTC) - addresses.CODE_AGE, tick=False):
        send_code(user)
    assert refusal(request_change, REQUEST, user, email=NEW, proof=code(), base_url=BASE) == "address.proof_wrong"


def test_code_is_replaced_by_the_next(monkeypatch):
    user = without_password(email="old@example.test")
    codes = iter([123456, 654321])
    monkeypatch.setattr(addresses.secrets, "randbelow", lambda _below: next(codes))
    send_code(user)
    send_code(user)
    assert refusal(request_change, REQUEST, user, email=NEW, proof="123456", base_url=BASE) == "address.proof_wrong"
    ask(user, proof=" 654321 ")


def test_code_is_of_no_use_once_the_address_has_changed():
    user = without_password(email="old@example.test")
    send_code(user)
    user.email = "third@example.test"
    user.save()
    assert refusal(request_change, REQUEST, user, email=NEW, proof=code(), base_url=BASE) == "address.proof_wrong"


def test_code_is_of_no_use_to_somebody_else(monkeypatch):
    monkeypatch.setattr(addresses.secrets, "randbelow", lambda _below: 123456)
    user, stranger = without_password(email="old@example.test"), without_password(email="stranger@example.test")
    send_code(user)
    assert refusal(request_change, REQUEST, stranger, email=NEW, proof="123456", base_url=BASE) == "address.proof_wrong"


def test_code_can_be_guessed_at_a_few_times_only():
    user = without_password(email="old@example.test")
    send_code(user)
    right = code()
    for guess in range(CODE_TRIES):
        wrong = f"{(int(right) + guess + 1) % 1_000_000:06}"
        assert refusal(request_change, REQUEST, user, email=NEW, proof=wrong, base_url=BASE) == "address.proof_wrong"
    assert refusal(request_change, REQUEST, user, email=NEW, proof=right, base_url=BASE) == "address.proof_wrong"


def test_code_is_not_stored_legibly():
    user = without_password(email="old@example.test")
    send_code(user)
    [row] = AddressCode.objects.values()
    assert code() not in str(row)


def test_account_with_a_password_gets_no_code(user):
    assert refusal(send_code, user) == "address.no_proof"


@pytest.mark.parametrize("proof", ["", "!", "123456"])
def test_account_with_neither_password_nor_address_is_left_to_staff(settings, proof):
    settings.SMS_PROVIDER = None
    ServiceSettings(pk=1, support_phone="+77015550000").save()
    user = without_password(email=None)
    with pytest.raises(NotPermitted) as refused:
        request_change(REQUEST, user, email=NEW, proof=proof, base_url=BASE)
    assert refused.value.code == "address.no_proof"
    assert "staff" in str(refused.value.message)
    assert refusal(send_code, user) == "address.no_proof"
    assert recipients() == []


# Limits


def test_password_is_tried_as_often_as_at_signing_in_and_counted_with_it(user):
    for _guess in range(settings.SIGN_IN_FAILURES_PER_ACCOUNT):
        assert refusal(request_change, REQUEST, user, email=NEW, proof="wrong", base_url=BASE) == "address.proof_wrong"
    assert refusal(request_change, REQUEST, user, email=NEW, proof=PASSWORD, base_url=BASE) == "rate.limited"
    assert refusal(sign_in.check_password, REQUEST, user, PASSWORD) == "rate.limited"


def test_changes_of_one_account_are_limited_right_or_wrong(user):
    for _change in range(CHANGES_PER_HOUR):
        refusal(request_change, REQUEST, user, email=NEW, proof="wrong", base_url=BASE)
    with pytest.raises(TooManyRequests) as refused:
        ask(user)
    assert 60 < refused.value.retry_after_s <= 3600
    ask(PassengerFactory())


def test_mails_to_one_address_are_limited_whoever_asks():
    for _change in range(CHANGES_TO_ADDRESS_PER_HOUR):
        ask(PassengerFactory())
    assert (
        refusal(request_change, REQUEST, PassengerFactory(), email=NEW, proof=PASSWORD, base_url=BASE) == "rate.limited"
    )


def test_codes_of_one_account_are_limited():
    user = without_password(email="old@example.test")
    for _code in range(CODES_PER_HOUR):
        send_code(user)
    assert refusal(send_code, user) == "rate.limited"


def test_without_a_mail_server_nothing_is_asked_for(user, settings):
    settings.MAIL_OFFERED = False
    assert refusal(request_change, REQUEST, user, email=NEW, proof=PASSWORD, base_url=BASE) == "mail.not_offered"
    assert refusal(send_code, without_password(email="a@example.test")) == "mail.not_offered"


# allauth's table of addresses


def test_alias_neither_signs_in_nor_hides_whose_address_it_is(user):
    stranger = PassengerFactory(email="stranger@example.test", password="")
    stranger.set_password("the stranger's own")
    stranger.save()
    rows = [EmailAddress(user=stranger, email=email, verified=True) for email in ("old@example.test", "x@example.test")]
    EmailAddress.objects.bulk_create(rows)
    assert authenticate(None, email="x@example.test", password="the stranger's own") is None
    assert authenticate(None, email="old@example.test", password="the stranger's own") is None
    assert authenticate(None, email="OLD@example.test", password=PASSWORD) == user


def test_alias_reserves_no_address_at_sign_up():
    EmailAddress.objects.bulk_create([EmailAddress(user=PassengerFactory(), email=NEW, verified=True)])
    form = {"name": "Aigerim", "phone": "", "email": NEW, "password1": "a long walk home"}
    assert Client().post("/accounts/signup/", form).status_code == 302
    assert User.objects.filter(email=NEW).exists()


@pytest.mark.parametrize("email", ["other@example.test", "OLD@example.test"])
def test_alias_cannot_be_saved(user, email):
    with pytest.raises(ValueError, match="one address"):
        EmailAddress.objects.create(user=user, email=email)


@pytest.mark.parametrize("email", ["third@example.test", None])
def test_address_changed_anywhere_leaves_no_alias(user, email):
    EmailAddress.objects.create(user=user, email=user.email, primary=True, verified=True)
    other = PassengerFactory()
    EmailAddress.objects.create(user=other, email=other.email)
    user.email = email
    user.save()
    assert [row.user for row in EmailAddress.objects.all()] == [other]


def test_sign_up_leaves_one_address_in_step():
    form = {"name": "Aigerim", "phone": "", "email": "Aigerim@Example.test", "password1": "a long walk home"}
    Client().post("/accounts/signup/", form)
    assert set(EmailAddress.objects.values_list("email", "user__email")) == {("aigerim@example.test",) * 2}


def test_upgrade_removes_aliases_and_keeps_own_addresses():
    user, phone_only = PassengerFactory(email="old@example.test"), PassengerFactory(email=None)
    rows = [
        EmailAddress(user=user, email="old@example.test", verified=True, primary=True),
        EmailAddress(user=user, email="alias@example.test", verified=True),
        EmailAddress(user=user, email="OLD@example.test"),
        EmailAddress(user=phone_only, email="squat@example.test"),
    ]
    EmailAddress.objects.bulk_create(rows)
    mixed = PassengerFactory()
    User.objects.filter(pk=mixed.pk).update(email="Mixed@Example.test")
    # By itself: the way through the migrations, back and again, takes seconds.
    migration = import_module("stepper.migrations.0007_addresses").Migration
    [step] = [operation for operation in migration.operations if isinstance(operation, RunPython)]
    run: Any = step.code
    run(apps, SimpleNamespace(connection=connection))
    assert list(EmailAddress.objects.values_list("email", flat=True)) == ["old@example.test"]
    assert stored(mixed) == "mixed@example.test"


# Staff


def change_as_staff(user, **fields):
    client = Client()
    client.force_login(StaffFactory())
    form = {
        "name": user.name,
        "email": user.email or "",
        "phone": str(user.phone or ""),
        "language": "en",
        "is_active": "on",
    }
    assert client.post(f"/admin/stepper/user/{user.pk}/change/", {**form, **fields}).status_code == 302


def test_staff_change_of_the_address_tells_the_old_one_and_leaves_no_alias(user):
    EmailAddress.objects.create(user=user, email=user.email, primary=True, verified=True)
    session = Client()
    session.force_login(user)
    link = ask(user, "mine@example.test")
    change_as_staff(user, email="Third@example.test")
    assert stored(user) == "third@example.test"
    assert recipients()[1:] == [["old@example.test"]]
    assert not EmailAddress.objects.exists()
    assert refusal(confirm_change, user, link) == "address.link_invalid"
    assert session.get("/account/").status_code == 200


def test_staff_change_of_anything_else_tells_nobody(user):
    change_as_staff(user, name="Somebody Else", email="OLD@example.test")
    assert (stored(user), recipients()) == ("old@example.test", [])


def test_number_that_staff_change_is_not_verified_by_the_old_one(user):
    change_as_staff(user, phone="+77012345678")
    user.refresh_from_db()
    assert (str(user.phone), user.has_verified_phone) == ("+77012345678", False)


def test_address_that_staff_take_away_is_told_as_well(user):
    change_as_staff(user, email="")
    assert (stored(user), recipients()) == (None, [["old@example.test"]])


@pytest.mark.parametrize("rows", [1, 3])
@pytest.mark.parametrize(("model", "listing"), [(AddressChange, 6), (AddressCode, 6)])
def test_staff_see_what_waits_and_nothing_that_would_confirm_it(query_count, model, listing, rows):
    for _row in range(rows):
        someone = without_password()
        send_code(someone)
        if model is AddressChange:
            ask(someone, f"new{someone.pk}@example.test", proof=code())
    client = signed_in(StaffFactory())
    queries_of(client, list_url(model), query_count(listing, listing))
    row = model.objects.order_by("pk").first()
    page = client.get(page_url(row)).content.decode()
    assert str(row.user) in page
    digests = [value for name, value in model.objects.filter(pk=row.pk).values()[0].items() if "digest" in name]
    assert digests
    assert all(digest not in page for digest in digests)
    assert client.post(page_url(row), {"new_email": "forged@example.test"}).status_code == 403
