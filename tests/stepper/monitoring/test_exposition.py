"""Figures for Prometheus: who gets them, over which port, and what they say of a server with open sockets."""

import asyncio
import socket
import urllib.error
import urllib.request
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import msgspec
import pytest
from django.db import connection
from django.test import Client
from prometheus_client.parser import text_string_to_metric_families
from pytest_django import DjangoAssertNumQueries, Settings
from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Subprotocol

from drivers import availability
from drivers.models import Driver
from realtime.models import Event
from stepper.api.tokens import sign_in
from stepper.monitoring import collecting
from stepper.monitoring.exposition import MetricsPort, render
from tests.factories import ALMATY, DriverFactory
from tests.live import LiveServer
from tests.servers import free_port

TOKEN = "a-token-of-the-tests-alone"


@pytest.fixture(autouse=True)
def _asked_anew() -> None:
    collecting.backlogs.forget()


def ask(token: str | None) -> tuple[int, str]:
    headers = {} if token is None else {"authorization": f"Bearer {token}"}
    response = Client().get("/metrics", headers=headers | {"host": "10.0.0.7:8000"})
    return response.status_code, response.content.decode()


@pytest.mark.django_db
def test_figures_need_the_token(settings: Settings) -> None:
    settings.METRICS_TOKEN = TOKEN
    assert ask(None) == ask(f"{TOKEN}x") == ask("") == (401, "")
    status, text = ask(TOKEN)
    assert status == 200
    assert "stepper_outbox_backlog 0.0" in text


@pytest.mark.django_db
def test_without_a_token_there_is_no_such_page(settings: Settings) -> None:
    settings.METRICS_TOKEN = ""
    assert Client().get("/metrics", headers={"authorization": "Bearer "}).status_code == 404


@pytest.mark.django_db
def test_figures_are_read_only(settings: Settings) -> None:
    settings.METRICS_TOKEN = TOKEN
    answer = Client().post("/metrics", headers={"authorization": f"Bearer {TOKEN}"})
    assert (answer.status_code, answer.headers["Allow"]) == (405, "GET, HEAD")


@pytest.mark.django_db
def test_every_name_is_ours() -> None:
    body, _content_type = render("")
    names = [family.name for family in text_string_to_metric_families(body.decode())]
    assert names
    assert [name for name in names if not name.startswith("stepper_")] == []


@pytest.mark.django_db
def test_database_is_asked_once_however_many_look(django_assert_num_queries: DjangoAssertNumQueries) -> None:
    with django_assert_num_queries(7):
        render("")
    with django_assert_num_queries(0):
        render("")


@pytest.mark.django_db
def test_backlog_is_what_is_not_published() -> None:
    for number in range(3):
        Event.objects.create(event_id=f"e{number}", group="user.1", type="x", frame="{}", sweep_at="2030-01-01T00:00Z")
    assert collecting._read_backlogs().outbox == 3


@pytest.mark.django_db
def test_silent_database_leaves_the_figures_of_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> collecting.Backlogs:
        raise collecting.DatabaseError

    monkeypatch.setattr(collecting, "backlogs", collecting.SharedBacklogs(fail))
    text = render("")[0].decode()
    assert "stepper_database_up 0.0" in text
    assert "\nstepper_outbox_backlog " not in text
    assert '\nstepper_sockets{kind="program"} ' in text


@pytest.mark.django_db
def test_port_that_is_in_use_is_logged_and_stops_nothing(settings: Settings, caplog: pytest.LogCaptureFixture) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        settings.METRICS_PORT = taken.getsockname()[1]
        port = MetricsPort()
        port.open()
        port.close()
    assert "the figures are not served at 127.0.0.1:" in caplog.text


def test_server_tells_its_sockets_frames_and_deliveries(start_server: Callable[..., LiveServer]) -> None:
    """On its own port, without a token, and not on the other one."""
    port = free_port()
    server = start_server(METRICS_PORT=str(port))
    driver = DriverFactory(at=ALMATY)
    before = _samples(port)
    socket_of_driver = connect(
        f"{server.ws_url}/ws/",
        subprotocols=[Subprotocol("stepper.v1"), Subprotocol("bearer." + sign_in(driver.user)["access"])],
        proxy=None,
    )
    asyncio.run(_hear_an_event(socket_of_driver, driver, port))
    after = _samples(port)
    assert after["stepper_event_delivery_seconds_count", ""] > before["stepper_event_delivery_seconds_count", ""]
    assert after["stepper_frames_sent_total", ""] > before["stepper_frames_sent_total", ""]
    assert after["stepper_frames_received_total", ""] == before["stepper_frames_received_total", ""] + 1
    assert after["stepper_refusals_total", "message.unknown_type"] == 1
    with pytest.raises(urllib.error.HTTPError, match="404"):
        urllib.request.urlopen(f"{server.url}/metrics", timeout=10)
    assert _samples(port)["stepper_responses_total", "4xx"] == after["stepper_responses_total", "4xx"] + 1


@pytest.mark.django_db(transaction=True)
def test_thread_that_read_the_figures_leaves_no_connection_open() -> None:
    """Each time they are read at METRICS_PORT a thread of its own answers."""

    def read() -> object:
        assert collecting.SharedBacklogs().get() is not None
        return connection.connection

    with ThreadPoolExecutor(1) as thread:
        assert thread.submit(read).result() is None


async def _hear_an_event(opening: connect, driver: Driver, port: int) -> None:
    async with opening as client, asyncio.timeout(20):
        await client.send('{"type": "nothing.known", "ref": "1"}')
        await _until(client, "error")
        assert (await asyncio.to_thread(_samples, port))["stepper_sockets", "program"] == 1
        await asyncio.to_thread(availability.set_online, driver.pk, False)
        await _until(client, "driver.updated")


async def _until(client: ClientConnection, kind: str) -> None:
    while msgspec.json.decode(await client.recv())["type"] != kind:
        pass


def _samples(port: int) -> dict[tuple[str, str], float]:
    """Sample and the value of its label -> figure."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        families = text_string_to_metric_families(answer.read().decode())
        return {
            (sample.name, ",".join(sample.labels.values())): sample.value
            for family in families
            for sample in family.samples
        }
