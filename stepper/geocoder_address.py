"""The geocoder from the environment: which kind it is and where; what cannot work as written is an error at start."""

from typing import Final, NamedTuple
from urllib.parse import parse_qsl, urlsplit

from django.core.exceptions import ImproperlyConfigured

KINDS: Final = ("photon", "nominatim", "pelias")
_USE: Final = (
    "Use photon+https://host, nominatim+https://host or pelias+https://host, with a path before its addresses and "
    "options such as ?api_key=… where it has them."
)


class GeocoderAddress(NamedTuple):
    """A geocoder: its kind, its address without a slash at the end, and what is added to every request."""

    kind: str
    url: str
    options: dict[str, str]


def read_geocoder_url(url: str) -> GeocoderAddress | None:
    """Return the geocoder of `GEOCODER_URL`; None: there is none.

    Raises:
        ImproperlyConfigured: the value is no such address. It is not repeated, as it may have a key in it.
    """
    if not url:
        return None
    kind, _plus, address = url.partition("+")
    try:
        parts = urlsplit(address)
        port = parts.port
    except ValueError:
        raise ImproperlyConfigured(f"GEOCODER_URL cannot be read. {_USE}") from None
    if kind not in KINDS or parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ImproperlyConfigured(f"GEOCODER_URL names no geocoder that is known here. {_USE}")
    if parts.username or parts.fragment or port == 0:
        raise ImproperlyConfigured(f"GEOCODER_URL has a user, a fragment or port 0, which none has. {_USE}")
    root = f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"
    return GeocoderAddress(kind, root, dict(parse_qsl(parts.query, keep_blank_values=True)))
