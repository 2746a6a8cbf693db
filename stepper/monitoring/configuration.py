"""What LOG_FORMAT, METRICS_PORT, METRICS_TOKEN and SENTRY_DSN may say.

Each function raises ImproperlyConfigured where a value cannot be used.
"""

from urllib.parse import urlsplit

from django.core.exceptions import ImproperlyConfigured

SHORTEST_TOKEN = 24


def read_metrics_token(token: str) -> str:
    """Return the token that opens /metrics; "": it is not served there."""
    if token and (len(token) < SHORTEST_TOKEN or not (token.isascii() and token.isprintable()) or " " in token):
        raise ImproperlyConfigured(
            f"METRICS_TOKEN needs at least {SHORTEST_TOKEN} printable ASCII characters, no spaces: make a random one."
        )
    return token


def read_metrics_port(port: int) -> int:
    """Return the port that the figures have for themselves; 0: none."""
    if not 0 <= port <= 65535:
        raise ImproperlyConfigured(f"METRICS_PORT must be 0 to 65535, not {port}")
    return port


def read_log_format(form: str) -> str:
    """Return how lines of the log are written: line or json."""
    if form not in {"line", "json"}:
        raise ImproperlyConfigured(f"LOG_FORMAT must be line or json, not {form!r}")
    return form


def read_sentry_dsn(dsn: str) -> str:
    """Return the address that faults are reported to; "": nowhere."""
    if not dsn:
        return ""
    try:
        parts = urlsplit(dsn)
        is_dsn = parts.scheme in {"http", "https"} and parts.username and parts.hostname and parts.path.strip("/")
        _port = parts.port
    except ValueError:
        is_dsn = False
    if not is_dsn:
        raise ImproperlyConfigured("SENTRY_DSN must be as the service shows it: https://key@host/project.")
    return dsn
