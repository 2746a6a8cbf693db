"""What holds for every page and endpoint: nobody gets in without signing in, nothing that the policy forbids."""

import re
from pathlib import Path

import pytest
from django.conf import settings
from django.test import Client
from django.urls import URLPattern

import drivers.urls
import realtime.urls
import trips.urls
from stepper.api import urls as api

# The same views and templates on both set-ups.
pytestmark = pytest.mark.embedded_only

ROOT = Path(settings.BASE_DIR)
# Of the people who use it; the administration's own pages bring scripts of their own, mails run none.
TEMPLATES = [
    path
    for path in sorted((ROOT / "templates").rglob("*.html"))
    if not {"admin", "email"} & set(path.relative_to(ROOT).parts)
]
# A script without a source, a style, or a handler in an attribute.
_INLINE = re.compile(r"<script(?![^>]*\bsrc=)|<style\b|\sstyle=|\son[a-z]+=", re.IGNORECASE)
# Their body says who it is: whoever signs in has no access token yet, whoever signs out may have none any more.
OPEN_TO_ALL = {"token", "token/refresh", "token/revoke"}


def _addresses(before: str, patterns: list[URLPattern]) -> list[str]:
    return [before + re.sub(r"<[^>]*>", "1", str(one.pattern)).replace("<slug:name>", "offers") for one in patterns]


PAGES = [
    *_addresses("/trips/", trips.urls.urlpatterns),
    *_addresses("/driver/", drivers.urls.urlpatterns),
    *_addresses("/notifications/", realtime.urls.urlpatterns),
]
ENDPOINTS = _addresses(
    "/api/",
    [one for one in api.urlpatterns if hasattr(one.callback, "view_class") and str(one.pattern) not in OPEN_TO_ALL],
)


@pytest.mark.django_db
@pytest.mark.parametrize("address", PAGES)
def test_page_sends_strangers_to_sign_in(client: Client, address: str) -> None:
    answers = [client.get(address), client.post(address)]
    allowed = [answer for answer in answers if answer.status_code != 405]
    assert allowed
    assert {(answer.status_code, answer.headers["Location"].partition("?")[0]) for answer in allowed} == {
        (302, "/accounts/login/")
    }


@pytest.mark.django_db
@pytest.mark.parametrize("address", ENDPOINTS)
def test_endpoint_refuses_strangers(client: Client, address: str) -> None:
    answers = [getattr(client, verb)(address).status_code for verb in ("get", "post", "put", "delete")]
    assert set(answers) == {401}


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: path.relative_to(ROOT / "templates").as_posix())
def test_template_has_no_inline_script_or_style(template: Path) -> None:
    assert _INLINE.findall(template.read_text()) == []
