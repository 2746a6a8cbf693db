"""What is said at the start about connections that others could read."""

import pytest

from stepper.checks import warn_of_open_connections

# No database or Redis plays a part.
pytestmark = pytest.mark.embedded_only


def _postgresql(host: str, **options: str) -> dict[str, object]:
    return {"ENGINE": "stepper.db.postgresql", "HOST": host, "OPTIONS": options}


@pytest.mark.parametrize(
    ("host", "options", "warned"),
    [
        ("db.example.kz", {}, True),
        ("10.0.0.5", {"sslmode": "prefer"}, True),
        ("db.example.kz", {"sslmode": "require"}, True),
        ("db.example.kz", {"sslmode": "verify-full"}, False),
        ("db.example.kz", {"sslmode": "verify-ca"}, False),
        ("localhost", {}, False),
        ("/run/postgresql", {}, False),
        ("", {}, False),
    ],
)
def test_database_on_another_machine_wants_verified_tls(host: str, options: dict[str, str], warned: bool) -> None:
    found = warn_of_open_connections(_postgresql(host, **options), "")
    assert [one.id for one in found] == ["stepper.W001"] * warned


@pytest.mark.parametrize(
    ("url", "warned"),
    [
        ("redis://redis.example.kz:6379/0", True),
        ("redis://:secret@10.0.0.5/0", True),
        ("rediss://redis.example.kz:6379/0?ssl_cert_reqs=none", True),
        ("rediss://:secret@redis.example.kz:6379/0", False),
        ("redis://127.0.0.1:6379/0", False),
        ("redis://[::1]:6379/0", False),
        ("unix:///run/redis.sock", False),
        ("", False),
    ],
)
def test_redis_on_another_machine_wants_tls(url: str, warned: bool) -> None:
    found = warn_of_open_connections(_postgresql("localhost"), url)
    assert [one.id for one in found] == ["stepper.W002"] * warned
    assert not any("secret" in f"{one.msg} {one.hint}" for one in found)
