"""The manifest, the service worker's text and the page shown offline."""

import datetime as dt
import json
import re
import struct
from pathlib import Path
from typing import Any

import pytest
from django.contrib.staticfiles import finders
from django.test import Client

from tests.backoffice import signed_in
from tests.factories import DriverFactory, PassengerFactory, TripFactory

# The same views on both set-ups.
pytestmark = [pytest.mark.embedded_only, pytest.mark.django_db]


def worker_shell(client: Client) -> dict[str, Any]:
    """What the service worker knows of this release."""
    text = client.get("/sw.js").content.decode()
    found = re.match(r"const SHELL = (\{.*\});\n", text)
    assert found
    shell: dict[str, Any] = json.loads(found[1])
    return shell


def test_manifest_names_icons_of_the_sizes_that_they_have(client: Client) -> None:
    response = client.get("/manifest.webmanifest")
    assert response.headers["Content-Type"] == "application/manifest+json"
    manifest = response.json()
    assert (manifest["start_url"], manifest["scope"], manifest["display"]) == ("/?start=app", "/", "standalone")
    assert manifest["id"] == "/"
    sizes = {}
    for icon in manifest["icons"]:
        png = Path(str(finders.find(icon["src"].removeprefix("/static/")))).read_bytes()
        assert png.startswith(b"\x89PNG")
        sizes[icon["sizes"], icon["purpose"]] = "{}x{}".format(*struct.unpack(">II", png[16:24]))
    assert sizes == {
        ("192x192", "any"): "192x192",
        ("512x512", "any"): "512x512",
        ("512x512", "maskable"): "512x512",
    }


@pytest.mark.parametrize(
    ("who", "pages"), [("passenger", ["/book/", "/trips/"]), ("driver", ["/driver/", "/driver/earnings/"])]
)
def test_shortcuts_lead_to_pages_of_whoever_installs(who: str, pages: list[str]) -> None:
    user = DriverFactory.create().user if who == "driver" else PassengerFactory.create()
    client = signed_in(user)
    named = re.search(r'<link rel="manifest" href="([^"]*)"', client.get("/trips/").content.decode())
    assert named
    manifest = client.get(named[1]).json()
    assert [one["url"] for one in manifest["shortcuts"]] == pages
    assert {client.get(one["url"]).status_code for one in manifest["shortcuts"]} == {200}


def test_installed_application_opens_with_the_trip_at_hand(client: Client) -> None:
    start = client.get("/manifest.webmanifest").json()["start_url"]
    assert client.get(start).status_code == 200
    passenger = PassengerFactory.create()
    mine = signed_in(passenger)
    TripFactory.create(organiser=passenger, status="accepted", in_=dt.timedelta(hours=9))
    TripFactory.create(organiser=passenger, status="completed")
    assert mine.get(start)["Location"] == "/trips/"
    now = TripFactory.create(organiser=passenger, status="offered")
    assert mine.get(start)["Location"] == f"/trips/{now.pk}/"
    # The mark in the header leads to all trips, from the trip's page as well.
    assert mine.get("/")["Location"] == "/trips/"
    assert signed_in(DriverFactory.create().user).get(start)["Location"] == "/driver/"


def test_service_worker_keeps_files_that_exist_and_none_of_staff(client: Client) -> None:
    response = client.get("/sw.js")
    assert response.headers["Content-Type"] == "text/javascript; charset=utf-8"
    assert response.headers["Cache-Control"] == "no-cache"
    files = worker_shell(client)["files"]
    assert {"/static/css/base.css", "/static/js/page.js", "/static/fonts/Inter-400.woff2"} <= set(files)
    assert [one for one in files if not finders.find(one.removeprefix("/static/"))] == []
    assert [one for one in files if "admin" in one] == []


def test_service_worker_is_the_same_for_everybody(client: Client) -> None:
    driver = signed_in(DriverFactory.create().user)
    assert driver.get("/sw.js").content == client.get("/sw.js").content


def test_version_changes_with_a_file(
    client: Client, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, settings: Any
) -> None:
    settings.DEBUG = True  # read anew each time
    before = worker_shell(client)["version"]
    assert worker_shell(client)["version"] == before
    changed = tmp_path / "page.js"
    changed.write_text("// a new release")
    find = finders.find
    monkeypatch.setattr(finders, "find", lambda name: str(changed) if name == "js/page.js" else find(name))
    assert worker_shell(client)["version"] != before


def test_offline_page_has_nothing_of_anybody(client: Client) -> None:
    driver = DriverFactory.create()
    page = signed_in(driver.user).get("/offline/")
    assert page.status_code == 200
    assert page.content == client.get("/offline/").content
    assert driver.user.name not in page.content.decode()


def test_every_page_names_the_manifest(client: Client) -> None:
    assert '<link rel="manifest" href="/manifest.webmanifest">' in client.get("/").content.decode()
