"""Time zones are those of the pinned package tzdata, never of the machine's own files.

Kazakhstan has been at +05:00 since March 2024; a machine that was not updated since says +06:00, and every departure
would be an hour off. So all processes of a release reckon alike, and a release brings newer zones.
"""

import datetime as dt
import zoneinfo

from django.core.exceptions import ImproperlyConfigured

HOME = "Asia/Almaty"
# Of times that a client may send: those that a clock shows. A phone whose clock was reset says 1970.
USABLE_YEARS = range(1970, 2100)


def use_pinned_time_zones() -> None:
    """Read time zones from the package alone, from now on. Raises ImproperlyConfigured."""
    zoneinfo.reset_tzpath(to=())
    zoneinfo.ZoneInfo.clear_cache()
    try:
        require_today_in_almaty(zoneinfo.ZoneInfo(HOME))
    except zoneinfo.ZoneInfoNotFoundError as error:
        raise ImproperlyConfigured("The package tzdata is not installed: run make setup.") from error


def require_today_in_almaty(almaty: zoneinfo.ZoneInfo) -> None:
    """Raise ImproperlyConfigured where the zone's data are older than Kazakhstan's change of 2024."""
    offset = dt.datetime(2024, 3, 2, tzinfo=almaty).utcoffset()
    if offset != dt.timedelta(hours=5):
        raise ImproperlyConfigured(
            f"The time zones installed are too old: {HOME} is at +05:00 since March 2024, not {offset}. Run make setup."
        )
