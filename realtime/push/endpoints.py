"""Which addresses a push may be sent to: a subscription's endpoint is chosen by whoever subscribes.

`PUSH_HOSTS` is the list of the browsers' push services; `*.host` stands for its subdomains, `host:port` for another
port than that of https.
"""

import re
from urllib.parse import urlsplit

from django.conf import settings

MOST_CHARACTERS = 1000


def host_of(endpoint: str) -> str | None:
    """Return host and port of an endpoint that pushes may be sent to; None: it is none."""
    if len(endpoint) > MOST_CHARACTERS or not re.fullmatch(r"[!-~]+", endpoint):
        return None
    try:
        parts = urlsplit(endpoint)
        port = parts.port
    except ValueError:
        return None
    if parts.scheme != "https" or parts.username is not None or parts.password is not None or parts.fragment:
        return None
    host = (parts.hostname or "") + (f":{port}" if port not in (None, 443) else "")
    return host if any(_matches(host, allowed) for allowed in settings.PUSH_HOSTS) else None


def _matches(host: str, allowed: str) -> bool:
    if allowed.startswith("*."):
        return host.endswith(allowed[1:]) and len(host) > len(allowed[1:])
    return host == allowed
