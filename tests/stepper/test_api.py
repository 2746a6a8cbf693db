"""What all endpoints share: the error shape, sign-in, limits, strict input, both forms of an address."""

import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from django.core.exceptions import PermissionDenied
from django.db import InterfaceError, OperationalError, connection, connections
from django.http import HttpResponse
from django.test import Client, RequestFactory
from django.urls import resolve
from django.utils import timezone, translation
from redis.exceptions import ConnectionError as RedisConnectionError
from rest_framework import exceptions, serializers
from rest_framework.test import APIClient

from stepper import languages, limits
from stepper.api.base import InstantField, IntField, NumberField, StringField
from stepper.api.errors import exception_handler, refuse_for_now, server_error
from stepper.api.tokens import sign_in
from stepper.errors import Conflict, InvalidInput, TooManyRequests
from stepper.models import ServiceSettings, User
from stepper.web.middleware import ApiTrailingSlashMiddleware, ContentSecurityPolicyMiddleware
from tests.failing import failing

pytestmark = pytest.mark.django_db

BOOKING = {
    "pickup": {"name": "Almaty", "lat": 43.2220, "lng": 76.8512},
    "dropoff": {"name": "Airport", "lat": 43.3521, "lng": 77.0405},
}


def _below(serializer: type[serializers.Serializer[Any]]) -> Iterator[type[serializers.Serializer[Any]]]:
    for one in serializer.__subclasses__():
        yield one
        yield from _below(one)


def test_instants_of_all_answers_are_utc() -> None:
    resolve("/")  # imports the views, and these their serializers
    ours = {
        one
        for one in _below(serializers.Serializer)
        if one.__module__.startswith(("stepper", "trips", "drivers", "realtime"))
    }
    assert len(ours) > 20
    local = [
        f"{one.__name__}.{name}"
        for one in ours
        for name, field in one().fields.items()
        if isinstance(field, serializers.DateTimeField) and not isinstance(field, InstantField)
    ]
    assert local == []


@pytest.fixture
def user():
    return User.objects.create_user("aigerim@example.test", "correct-horse-battery", name="Aigerim K")


@pytest.fixture
def client(user):
    client = APIClient()
    client.force_login(user)
    return client


def refusal(error):
    response = exception_handler(error, {})
    assert response is not None
    return response


def post_raw(client, body, content_type="application/json"):
    return client.generic("POST", "/api/trips/quote", body, content_type=content_type)


# The shape of a refusal


@pytest.mark.parametrize(
    ("method", "address", "status", "code"),
    [
        ("GET", "/api/nothing", 404, "not_found"),
        ("POST", "/api/nothing/", 404, "not_found"),
        ("GET", "/api/", 404, "not_found"),
        ("GET", "/api/trips/99", 404, "trip.not_found"),
        ("GET", f"/api/trips/{10**17}", 404, "trip.not_found"),
        ("GET", f"/api/trips/{10**30}", 404, "not_found"),
        ("GET", "/api/trips/one", 404, "not_found"),
        ("DELETE", "/api/trips", 405, "method.not_allowed"),
        ("PUT", "/api/me", 405, "method.not_allowed"),
        ("GET", "/api/drivers/offers", 403, "driver.not_a_driver"),
    ],
)
def test_refusals_have_one_shape(client, method, address, status, code):
    response = client.generic(method, address)

    assert response.status_code == status
    assert response.headers["Content-Type"] == "application/json"
    assert set(response.json()) == {"code", "message"}
    assert response.json()["code"] == code


@pytest.mark.parametrize("address", ["/api/me", "/api/trips", "/api/drivers/offers", "/api/trips/1"])
def test_nobody_signed_in_is_told_to(address):
    response = APIClient().get(address)

    assert response.status_code == 401
    assert response.json() == {"code": "auth.required", "message": "Sign in first."}
    assert response.headers["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize("address", ["/api/trips/quote", "/api/trips/quote/"])
def test_an_address_works_with_and_without_its_slash(client, address):
    assert client.post(address, BOOKING, format="json").status_code == 200


def test_a_put_keeps_its_body_at_an_address_with_slash(client):
    response = client.put("/api/drivers/availability/", {"availability": "available"}, format="json")

    assert response.json()["code"] == "driver.not_a_driver"


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"{'pickup': 1}",
        b'{"seats": NaN}',
        b'{"seats": Infinity}',
        b'{"seats": 1e999}',
        b'{"seats": ' + b"9" * 5000 + b"}",
        b'{"note": "\\ud800"}',
        b'{"note": "\xff"}',
        b"[" * 200_000,
    ],
    ids=range(9),
)
def test_malformed_json_is_refused(client, body):
    response = post_raw(client, body)

    assert response.status_code == 400
    assert response.json()["code"] == "json.malformed"


@pytest.mark.parametrize("body", [b"[]", b"null", b"1", b'"text"', b"[[]]", b"true"])
def test_json_that_is_no_object_is_refused(client, body):
    response = post_raw(client, body)

    assert response.status_code == 400
    assert response.json()["code"] == "input.invalid"
    assert set(response.json()["fields"]) == {"body"}


@pytest.mark.parametrize(
    "content_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", ""]
)
def test_another_content_type_is_refused(client, content_type):
    response = post_raw(client, b"pickup=1", content_type)

    assert response.status_code == 415
    assert response.json()["code"] == "input.unsupported_media_type"


def test_another_answer_than_json_is_refused(client):
    response = client.get("/api/me", headers={"Accept": "text/html"})

    assert response.status_code == 406
    assert response.json()["code"] == "input.not_acceptable"


def test_messages_come_in_the_readers_language(client, user, settings):
    settings.LANGUAGES = list(languages.NAMES.items())
    User.objects.filter(pk=user.pk).update(language="ru")
    with translation.override("ru"):
        expected = str(serializers.Field.default_error_messages["required"])
    response = client.post("/api/trips/quote", {}, format="json", headers={"Accept-Language": "en"})

    assert response.json()["fields"]["pickup"] == [expected]


def test_nested_errors_become_dotted_paths():
    error = exceptions.ValidationError({"a": {"b": ["wrong"]}, "points": [{}, {"lat": ["far"]}], "c": {"0": ["odd"]}})

    body = refusal(error).data

    assert body["code"] == "input.invalid"
    assert body["fields"] == {"a.b": ["wrong"], "points.1.lat": ["far"], "c.0": ["odd"]}


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (Conflict("offer.taken", "Another driver was faster."), 409, "offer.taken"),
        (InvalidInput("input.invalid", "No.", {"seats": ["No."]}), 400, "input.invalid"),
        (PermissionDenied(), 403, "auth.forbidden"),
        (exceptions.PermissionDenied(), 403, "auth.forbidden"),
    ],
)
def test_exceptions_become_answers(error, status, code):
    response = refusal(error)

    assert (response.status_code, response.data["code"]) == (status, code)


def test_a_fault_is_not_an_answer():
    assert exception_handler(ZeroDivisionError(), {}) is None


def test_a_fault_under_the_api_is_json(user, monkeypatch):
    def fail(*args, **kwargs):
        raise ZeroDivisionError

    monkeypatch.setattr("trips.quotes.quote_booking", fail)
    client = APIClient(raise_request_exception=False)
    client.force_login(user)

    response = client.post("/api/trips/quote", BOOKING, format="json")

    assert response.status_code == 500
    assert response.json()["code"] == "server.error"


def test_a_fault_elsewhere_is_a_page(rf):
    response = server_error(rf.get("/trips/"))

    assert response.status_code == 500
    assert response.headers["Content-Type"].startswith("text/html")
    assert "<title>Something broke · StepperGO</title>" in response.content.decode()


@pytest.mark.parametrize("error", [OperationalError("gone"), InterfaceError("closed"), RedisConnectionError("gone")])
def test_what_needs_the_database_or_redis_while_they_are_away_says_come_back(rf, error):
    answers = [answer for path in ("/api/trips", "/trips/") if (answer := refuse_for_now(rf.get(path), error))]

    assert [(answer.status_code, answer["Retry-After"]) for answer in answers] == [(503, "5"), (503, "5")]
    assert json.loads(answers[0].content)["code"] == "server.unavailable"
    assert answers[1].headers["Content-Type"].startswith("text/html")
    assert refuse_for_now(rf.get("/api/trips"), ValueError()) is None


def test_an_endpoint_answers_503_when_the_database_goes_away(client):
    with connection.execute_wrapper(failing('SELECT "trips_trip"')):
        response = client.get("/api/trips")

    assert (response.status_code, response.json()["code"]) == (503, "server.unavailable")
    assert response["Retry-After"] == "5"


# Sign-in


def test_a_session_needs_the_csrf_token(user):
    client = APIClient(enforce_csrf_checks=True)
    client.force_login(user)

    refused = client.post("/api/trips/quote", BOOKING, format="json")
    assert (refused.status_code, refused.json()["code"]) == (403, "auth.forbidden")

    client.cookies["csrftoken"] = token = "a" * 32
    answered = client.post("/api/trips/quote", BOOKING, format="json", headers={"X-CSRFToken": token})
    assert answered.status_code == 200


def test_a_token_needs_no_csrf_token(user):
    client = APIClient(enforce_csrf_checks=True)
    access = sign_in(user)["access"]

    response = client.post("/api/trips/quote", BOOKING, format="json", headers={"Authorization": f"Bearer {access}"})
    assert response.status_code == 200


def test_me_of_a_passenger(client, user):
    assert client.get("/api/me").json() == {
        "id": user.pk,
        "name": "Aigerim K",
        "email": "aigerim@example.test",
        "phone": None,
        "language": "en",
        "is_staff": False,
        "rating": None,
        "rating_count": 0,
        "driver": None,
    }


# Limits


def test_too_many_requests_are_refused_with_the_time_to_wait(client, user):
    ServiceSettings(pk=1, api_per_min=3).save()

    codes = [client.get("/api/me").status_code for _request in range(4)]
    assert codes == [200, 200, 200, 429]

    refused = client.get("/api/me")
    assert refused.json()["code"] == "rate.limited"
    assert set(refused.json()) == {"code", "message"}
    assert 1 <= int(refused.headers["Retry-After"]) <= 61


def test_session_and_token_share_a_limit(client, user):
    ServiceSettings(pk=1, api_per_min=2).save()
    access = sign_in(user)["access"]

    client.get("/api/me")
    client.get("/api/me")

    assert APIClient().get("/api/me", headers={"Authorization": f"Bearer {access}"}).status_code == 429


def test_a_limit_is_each_users_own(client):
    ServiceSettings(pk=1, api_per_min=1).save()
    other = APIClient()
    other.force_login(User.objects.create_user("other@example.test", name="Other"))

    assert [client.get("/api/me").status_code, other.get("/api/me").status_code] == [200, 200]


def test_a_limit_ends_with_its_window(client, time_machine):
    ServiceSettings(pk=1, api_per_min=1).save()
    time_machine.move_to(timezone.now().replace(microsecond=0), tick=False)
    client.get("/api/me")
    assert client.get("/api/me").headers["Retry-After"] == "60"

    time_machine.shift(60)

    assert client.get("/api/me").status_code == 200


def test_requests_that_race_cannot_slip_through_a_limit():
    gate = threading.Barrier(8)
    waits: list[int | None] = []

    def ask():
        gate.wait()
        waits.extend(limits.count_and_get_wait_s("race", 1, most=10) for _request in range(5))
        connections.close_all()

    threads = [threading.Thread(target=ask) for _thread in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert waits.count(None) == 10


def test_spend_raises_with_the_time_to_wait():
    limits.spend("scope", 1, most=1)
    with pytest.raises(TooManyRequests) as refused:
        limits.spend("scope", 1, most=1)

    assert refused.value.code == "rate.limited"
    assert 1 <= refused.value.retry_after_s <= 61


# Fields


@pytest.mark.parametrize(
    ("field", "value"),
    [
        (IntField(), True),
        (IntField(), "3"),
        (IntField(), 3.0),
        (IntField(), None),
        (IntField(max_value=10), 10**4000),
        (NumberField(), True),
        (NumberField(), "3.5"),
        (NumberField(), float("nan")),
        (NumberField(), float("inf")),
        (NumberField(), 10**400),
        (NumberField(max_value=90), 90.01),
        (StringField(), 5),
        (StringField(), ["a"]),
        (StringField(), "a\x00"),
        (StringField(), "\ud800"),
        (StringField(), "   "),
        (InstantField(), 1700000000),
        (InstantField(), "tomorrow"),
        (InstantField(), "2030-05-01"),
        (InstantField(), "2030-05-01T09:00:00"),
        (InstantField(), "2030-13-01T09:00:00Z"),
        (InstantField(), "0001-01-01T00:00:00+14:00"),
        (InstantField(), "0001-01-01T00:00:00Z"),
        (InstantField(), "1969-12-31T23:59:59Z"),
        (InstantField(), "2100-01-01T00:00:00Z"),
        (InstantField(), "9999-12-31T23:59:59Z"),
        (InstantField(), "2030-05-01T09:00:00+99:00"),
        (InstantField(), "9999-12-31T23:59:59-14:00"),
    ],
)
def test_a_field_refuses_what_it_is_not(field, value):
    with pytest.raises(serializers.ValidationError):
        field.run_validation(value)


def test_an_instant_is_read_with_its_offset_and_written_in_utc():
    field = InstantField()
    instant = field.run_validation("2030-05-01T09:00:00+05:00")

    assert field.to_representation(instant) == "2030-05-01T04:00:00Z"


# Middleware


@pytest.mark.parametrize(
    ("address", "resolved"),
    [
        ("/api/trips/", "/api/trips"),
        ("/api/trips", "/api/trips"),
        ("/api/", "/api/"),
        ("/trips/", "/trips/"),
        ("/apiary/", "/apiary/"),
    ],
)
def test_the_slash_is_taken_off_api_addresses_only(address, resolved):
    request = RequestFactory().get(address)
    ApiTrailingSlashMiddleware(lambda _request: HttpResponse()).process_request(request)

    assert (request.path_info, request.path) == (resolved, resolved)


@pytest.mark.parametrize(
    ("address", "script"),
    [("/", "script-src 'self';"), ("/admin/", "script-src 'self' 'unsafe-inline' 'unsafe-eval';")],
)
def test_only_the_admin_may_run_inline_scripts(address, script):
    middleware = ContentSecurityPolicyMiddleware(lambda _request: HttpResponse())
    answer = middleware.process_response(RequestFactory().get(address), HttpResponse())

    policy = answer.headers["Content-Security-Policy"] + ";"
    assert script in policy
    assert "default-src 'none';" in policy
    assert "frame-ancestors 'none';" in policy


def test_every_answer_carries_the_policy(client):
    assert "default-src 'none'" in client.get("/api/me").headers["Content-Security-Policy"]


def test_plain_django_clients_get_json_too():
    response = Client().post("/api/token", json.dumps({}), content_type="application/json")

    assert response.status_code == 400
    assert response.json()["code"] == "input.invalid"
