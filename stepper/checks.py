"""System checks: what Django says at the start of every command about what works, but not as it should."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from django.conf import settings
from django.core import checks

LOOPBACK = {"", "localhost", "127.0.0.1", "::1"}
# libpq's modes that check whose certificate the server has; the others accept anybody's, or no encryption at all.
VERIFIED = {"verify-ca", "verify-full"}


@checks.register(checks.Tags.security)
def check_encryption(**_kwargs: Any) -> list[checks.CheckMessage]:
    return warn_of_open_connections(settings.DATABASES["default"], settings.REDIS_URL)


def warn_of_open_connections(database: Mapping[str, Any], redis_url: str) -> list[checks.CheckMessage]:
    """Warn where PostgreSQL or Redis is on another machine and the connection is not encrypted and verified."""
    found: list[checks.CheckMessage] = []
    host, mode = str(database.get("HOST") or ""), database.get("OPTIONS", {}).get("sslmode")
    if database["ENGINE"].endswith("postgresql") and is_elsewhere(host) and mode not in VERIFIED:
        found.append(
            checks.Warning(
                f"The connection to PostgreSQL on {host} may be unencrypted, or to somebody else's server.",
                hint="Add ?sslmode=verify-full (and &sslrootcert=…) to DATABASE_URL.",
                id="stepper.W001",
            )
        )
    redis = urlsplit(redis_url)
    lax = parse_qs(redis.query).get("ssl_cert_reqs", ["required"])[-1] != "required"
    if is_elsewhere(redis.hostname or "") and (redis.scheme != "rediss" or lax):
        found.append(
            checks.Warning(
                f"The connection to Redis on {redis.hostname} is unencrypted, or to whoever answers.",
                hint="Begin REDIS_URL with rediss://.",
                id="stepper.W002",
            )
        )
    return found


def is_elsewhere(host: str) -> bool:
    """Say whether a host is another machine; a path is a socket of this one."""
    return host not in LOOPBACK and not host.startswith("/")


@checks.register(checks.Tags.translation)
def check_catalogues(**_kwargs: Any) -> list[checks.CheckMessage]:
    return warn_of_stale_catalogues(Path(settings.LOCALE_PATHS[0]))


def warn_of_stale_catalogues(folder: Path) -> list[checks.CheckMessage]:
    """Warn of languages whose catalogue is not compiled, so that they are not offered, or older than its source."""
    stale = [
        source.relative_to(folder).parts[0]
        for source in sorted(folder.glob("*/LC_MESSAGES/django.po"))
        if not (made := source.with_suffix(".mo")).exists() or made.stat().st_mtime < source.stat().st_mtime
    ]
    if not stale:
        return []
    return [
        checks.Warning(
            f"These catalogues are missing or older than their source, so pages are English: {', '.join(stale)}.",
            hint="Run `make setup`, which compiles them, and restart.",
            id="stepper.W003",
        )
    ]
