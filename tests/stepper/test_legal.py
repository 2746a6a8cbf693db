"""What is kept about people: where it is said, and that it is true by the settings."""

import pytest
from django.core.exceptions import ValidationError
from django.test import Client

from stepper.models import ServiceSettings

pytestmark = pytest.mark.django_db

SIGN_UP = ["/accounts/signup/", "/accounts/sign-in/phone/"]
TERMS, PRIVACY = "https://example.test/terms", "https://example.test/privacy"


def page(path: str) -> str:
    return Client().get(path).content.decode().partition("<main")[2]


@pytest.mark.parametrize("path", [*SIGN_UP, "/", "/help/", "/privacy/", "/accounts/login/"])
@pytest.mark.parametrize("is_set", [True, False])
def test_page_links_to_privacy_and_to_terms_where_there_are_any(path: str, is_set: bool) -> None:
    if is_set:
        ServiceSettings(pk=1, terms_url=TERMS, privacy_url=PRIVACY).save()
    html = page(path)
    assert (f'href="{TERMS}"' in html) is is_set
    assert f'href="{PRIVACY if is_set else "/privacy/"}"' in html
    assert ('data-testid="consent"' in html) is (path in SIGN_UP)


def test_privacy_page_says_the_periods_of_the_settings() -> None:
    periods = {
        "disputes_kept_days": 401,
        "trail_kept_days": 402,
        "notifications_kept_days": 403,
        "security_log_kept_days": 404,
        "applications_kept_days": 405,
    }
    ServiceSettings(pk=1, **periods).save()
    html = page("/privacy/")
    assert [days for days in periods.values() if f"{days} days" not in html] == []
    assert all(f'href="/account/{one}/"' in html for one in ("export", "erase"))


@pytest.mark.parametrize("name", ["terms_url", "privacy_url"])
def test_links_are_https(name: str) -> None:
    for url in ("javascript:alert(1)", "http://example.test/"):
        with pytest.raises(ValidationError):
            ServiceSettings(pk=1, **{name: url}).clean_fields()
