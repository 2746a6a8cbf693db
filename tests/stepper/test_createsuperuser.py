"""The first staff account on a terminal: a refused password is asked for again, and nothing ends for it."""

import getpass
import io
from collections.abc import Callable

import pytest
from django.core.management import CommandError, call_command

from stepper.management.commands import prepare
from stepper.models import User

pytestmark = pytest.mark.django_db

GOOD = "correct horse battery"
Typing = Callable[..., None]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def typing(monkeypatch: pytest.MonkeyPatch) -> Typing:
    """Type the answers, then the passwords, each twice; whatever is asked for beyond them fails the test."""

    def type_in(*passwords: str, answers: tuple[str, ...] = ("own@example.kz", "Aliya")) -> None:
        lines, secrets = iter(answers), iter([one for password in passwords for one in (password, password)])
        monkeypatch.setattr("builtins.input", lambda _prompt="": next(lines))
        monkeypatch.setattr(getpass, "getpass", lambda _prompt="": next(secrets))
        monkeypatch.setattr("sys.stdin", Terminal())

    return type_in


def test_weak_password_is_refused_with_its_reason_and_asked_for_again(typing: Typing, capsys) -> None:
    typing("password12", "short", GOOD)
    call_command("createsuperuser")
    user = User.objects.get()
    assert (user.email, user.name, user.is_superuser) == ("own@example.kz", "Aliya", True)
    assert user.check_password(GOOD)
    said = capsys.readouterr()
    assert "at least 10 characters" in said.out.split("Superuser")[0]
    assert "This password is too common" in said.err
    assert "This password is too short" in said.err


def test_address_that_is_wrong_or_taken_is_asked_for_again(typing: Typing, capsys) -> None:
    User.objects.create_user("taken@example.kz", GOOD, name="Aigerim")
    typing(GOOD, answers=("nonsense", "", "taken@example.kz", "own@example.kz", "", "Aliya"))
    call_command("createsuperuser")
    assert User.objects.get(is_superuser=True).email == "own@example.kz"
    assert "Another account has this address" in capsys.readouterr().err


def test_account_is_not_created_after_five_refused_passwords(typing: Typing) -> None:
    typing(*["password12"] * 5)
    with pytest.raises(CommandError, match="No account was created"):
        call_command("createsuperuser")
    assert not User.objects.exists()


def test_prepare_ends_well_without_the_account_and_says_how_to_create_it(
    typing: Typing, capsys, monkeypatch: pytest.MonkeyPatch
) -> None:
    def call_without_files(name: str, **options: object) -> None:
        if name == "createsuperuser":
            call_command(name, **options)

    monkeypatch.setattr(prepare, "call_command", call_without_files)
    typing(*["password12"] * 5)
    call_command("prepare")
    said = capsys.readouterr()
    assert "No account was created" in said.err
    assert "Create the first staff account" in said.out
