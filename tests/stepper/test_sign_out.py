"""Signing out: the browser is told to forget what our pages left, and nothing that it still needs."""

import pytest

from stepper.accounts.sign_in import DEVICE_COOKIE
from tests.backoffice import signed_in
from tests.factories import PassengerFactory, StaffFactory

pytestmark = pytest.mark.django_db

HEADER = "Clear-Site-Data"


@pytest.mark.parametrize("path", ["/accounts/logout/", "/admin/logout/", "/accounts/sessions/end-all/"])
def test_signing_out_has_the_browser_forget_its_pages(path):
    response = signed_in(StaffFactory()).post(path)
    assert response.status_code == 302
    assert response[HEADER] == '"cache", "storage"'


@pytest.mark.parametrize("path", ["/accounts/logout/", "/accounts/sessions/", "/accounts/login/", "/"])
def test_other_pages_do_not(path):
    assert HEADER not in signed_in(PassengerFactory()).get(path)


def test_session_cookie_goes_and_the_mark_of_the_device_stays():
    client = signed_in(PassengerFactory())
    client.cookies[DEVICE_COOKIE] = "kept"
    response = client.post("/accounts/logout/")
    assert response.cookies["sessionid"].value == ""
    assert DEVICE_COOKIE not in response.cookies
    assert client.get("/trips/").status_code == 302


def test_signing_out_elsewhere_forgets_nothing_here():
    assert HEADER not in signed_in(PassengerFactory()).post("/accounts/sessions/end-others/")
