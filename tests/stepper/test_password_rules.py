"""What a new password must be: long enough, uncommon, and not the account's own data. Wherever it is set."""

import getpass

import pytest
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.core.management import CommandError, call_command
from django.test import Client
from django.utils.translation import override

from stepper.models import User
from tests.backoffice import signed_in
from tests.factories import PASSWORD, PassengerFactory, StaffFactory
from tests.realtime.test_new_password import link_of

pytestmark = pytest.mark.django_db

COMMON = "qwerty123456"
GOOD = "a whole new battery"


def person(**fields):
    return User(**{"name": "Aigerim Kassymova", "email": "aigerim.k@mail.kz", "phone": "+77012345678", **fields})


def codes(password, user=None):
    try:
        validate_password(password, user)
    except ValidationError as error:
        return {one.code for one in error.error_list}
    return set()


@pytest.mark.parametrize(
    ("password", "code"),
    [
        ("ninechars", "password_too_short"),
        ("x" * 257, "password_too_long"),
        (COMMON, "password_too_common"),
        ("Qwerty123456", "password_too_common"),
        (" QWERTY123456 ", "password_too_common"),
        ("1234567890", "password_too_common"),
        ("iloveyou123", "password_too_common"),
    ],
)
def test_refused_for_anybody(password, code):
    assert code in codes(password)


@pytest.mark.parametrize(
    "password",
    [
        "tengeriver",
        "correct horse battery",
        "қара жорға билейміз",
        "83920174650",
        "🚕🚕🚕🚕🚕🚕🚕🚕🚕🚕",
        "a b c d e f",
        "xq" * 32,
        "xq" * 128,
    ],
)
def test_any_composition_is_allowed_from_10_characters_to_256(password):
    assert codes(password, person()) == set()


@pytest.mark.parametrize(
    "password",
    [
        "87012345678",
        "+77012345678",
        "77012345678",
        "8 701 234 56 78",
        "8(701)234-56-78",
        "+7 (701) 234 56 78",
        "7012345678 almaty",
        "aigerim2345678",
        "2345678 is my number",
        "٨٧٠١٢٣٤٥٦٧٨",
    ],
)
@pytest.mark.parametrize("phone", ["+77012345678", "8 701 234 56 78"])
def test_own_phone_number_is_refused_in_any_spelling(password, phone):
    assert "password_too_similar" in codes(password, person(phone=phone))


def test_own_phone_number_as_stored_is_refused():
    """The column gives an object, not a text."""
    stored = User.objects.get(pk=PassengerFactory(phone="+77012345678").pk)
    assert not isinstance(stored.phone, str)
    assert "password_too_similar" in codes("8 701 234 56 78", stored)


def test_somebody_elses_number_is_not_looked_at():
    assert codes("87019876543 and me", person()) == set()
    assert codes("87012345678 and me", person(phone=None)) == set()


@pytest.mark.parametrize(
    "password",
    [
        "aigerimkassymova",
        "Kassymova Aigerim",
        "kassymova123",
        "AigerimKassymova1",
        "aigerim.k@mail.kz",
        "aigerim.k@mail",
        # Django's rule compares with the whole of each.
        "Aigerim Aigerim",
        "kassymova kassymova 1",
    ],
)
def test_name_and_email_are_refused(password):
    assert "password_too_similar" in codes(password, person())


def test_password_of_a_sentence_with_ones_name_is_taken():
    assert not codes("aigerim sings in the rain", person())


def test_short_password_is_refused_in_kazakh():
    with override("kk"), pytest.raises(ValidationError) as refused:
        validate_password("qwerty")
    assert "Құпиясөз тым қысқа: кемінде 10 таңба керек." in refused.value.messages


# Every way to set one


def _sign_up(_user, password):
    form = {"name": "Aigerim", "phone": "8 701 234 56 79", "email": "", "password1": password}
    return Client().post("/accounts/signup/", form).status_code == 302


def _change(user, password):
    form = {"oldpassword": PASSWORD, "password1": password, "password2": password}
    return signed_in(user).post("/accounts/password/change/", form).status_code == 302


def _reset(user, password):
    client = Client()
    form = client.get(link_of(user))
    return client.post(form["Location"], {"password1": password, "password2": password}).status_code == 302


def _by_staff(user, password):
    form = {"password1": password, "password2": password, "usable_password": "true"}
    return signed_in(StaffFactory()).post(f"/admin/stepper/user/{user.pk}/password/", form).status_code == 302


def _created_by_staff(_user, password):
    form = {"name": "Aigerim", "email": "", "phone": "8 701 234 56 79", "language": "en"}
    form |= {"password1": password, "password2": password}
    return signed_in(StaffFactory()).post("/admin/stepper/user/add/", form).status_code == 302


def _own_in_the_administration(user, password):
    form = {"old_password": PASSWORD, "new_password1": password, "new_password2": password}
    return signed_in(user).post("/admin/password_change/", form).status_code == 302


def _createsuperuser(_user, password):
    try:
        call_command("createsuperuser", interactive=False, email="new@example.test", name="New", verbosity=0)
    except CommandError:
        return False
    return True


def _changepassword(user, password):
    try:
        call_command("changepassword", str(user.email), verbosity=0)
    except CommandError:
        return False
    return True


WAYS = [
    _sign_up,
    _change,
    _reset,
    _by_staff,
    _created_by_staff,
    _own_in_the_administration,
    _createsuperuser,
    _changepassword,
]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("password", [COMMON, "ninechars", "x" * 257], ids=["common", "short", "long"])
def test_every_way_refuses_a_bad_password(way, password, monkeypatch):
    monkeypatch.setattr(getpass, "getpass", lambda prompt: password)
    monkeypatch.setenv("DJANGO_SUPERUSER_PASSWORD", password)
    user = StaffFactory(email="staff@example.test")
    before = user.password
    assert not way(user, password)
    user.refresh_from_db()
    assert user.password == before
    assert not User.objects.filter(name__in=["New", "Aigerim"]).exists()


@pytest.mark.parametrize("way", WAYS)
def test_every_way_takes_a_good_one(way, monkeypatch):
    monkeypatch.setattr(getpass, "getpass", lambda prompt: GOOD)
    monkeypatch.setenv("DJANGO_SUPERUSER_PASSWORD", GOOD)
    assert way(StaffFactory(email="staff@example.test"), GOOD)


@pytest.mark.parametrize("way", [_sign_up, _created_by_staff])
def test_new_account_cannot_have_its_phone_number_as_password(way):
    assert not way(None, "87012345679")


@pytest.mark.parametrize("way", [_change, _reset, _by_staff, _own_in_the_administration])
def test_account_cannot_get_its_phone_number_as_password(way):
    assert not way(StaffFactory(email="staff@example.test", phone="+77012345679"), "8-701-234-56-79")


def test_sign_up_cannot_use_the_name():
    form = {"name": "Aigerim Kassymova", "phone": "8 701 234 56 79", "password1": "kassymova123"}
    response = Client().post("/accounts/signup/", form)
    assert response.context["form"].errors == {"password1": ["The password is too similar to the name."]}


def test_stored_passwords_go_on_whatever_they_are():
    user = PassengerFactory(email="a@example.test")
    user.set_password("12345678")
    user.save()
    assert Client().post("/accounts/login/", {"login": "a@example.test", "password": "12345678"}).status_code == 302


@pytest.mark.parametrize(
    ("path", "names"),
    [("/accounts/login/", {"password": "current-password"}), ("/accounts/signup/", {"password1": "new-password"})],
)
def test_password_managers_know_the_fields(path, names):
    form = Client().get(path).context["form"]
    for name, purpose in names.items():
        assert form.fields[name].widget.attrs["autocomplete"] == purpose
        assert form.fields[name].widget.input_type == "password"
