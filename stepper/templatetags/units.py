"""How amounts are written on every page: money, distances, durations, instants in a trip's zone.

Filters only format; they know no models. `₸9 180` has a narrow space at which no line ends, no decimals; `2.4 km`,
`238 km`; `6 min`, `4 h 10`; days are named where a person would name them (today, tomorrow).
"""

import datetime as dt
from collections.abc import Mapping
from zoneinfo import ZoneInfo

from django import template
from django.utils import formats, timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import get_language, pgettext
from django.utils.translation import gettext as _

from stepper.dates import short_date, short_date_parts, weekday_and_date

register = template.Library()
register.filter(weekday_and_date)

# Narrow and without a break: at U+2009 a line may end within the amount.
THIN_SPACE = "\u202f"


def _grouped(amount: int) -> str:
    return f"{amount:,}".replace(",", THIN_SPACE)


@register.filter
def grouped(amount: float) -> str:
    """Write a whole number with thin spaces: `12 480`."""
    return _grouped(round(amount))


@register.filter
def money(amount: int | None) -> str:
    """Write whole tenge: `₸9 180`, or as the language has it (`9 180 ₸`)."""
    return pgettext("money", "₸%(amount)s") % {"amount": _grouped(int(amount or 0))}


@register.filter
def money_change(amount: int) -> str:
    """Write by how much an amount changes: `+₸120`, `−₸80`, `₸0`."""
    return f"+{money(amount)}" if amount > 0 else f"−{money(-amount)}" if amount < 0 else money(0)


@register.filter
def in_language(names: Mapping[str, str]) -> str:
    """Return which of the names, by language, is in the active one; else the English one."""
    return names.get((get_language() or "en")[:2]) or names["en"]


@register.filter
def km(distance_km: float) -> str:
    """Write a distance, with one decimal below 10 km: `2.4 km`, `238 km`; the least is `0.1 km`."""
    if distance_km < 9.95:
        return _("%(km)s km") % {"km": formats.number_format(round(max(0.1, distance_km), 1), 1, use_l10n=True)}
    return _("%(km)s km") % {"km": _grouped(round(distance_km))}


@register.filter
def km_exactly(distance_km: float) -> str:
    """Write a distance that somebody has entered, with the decimals it has: `12.5 km`, `2 km`."""
    return _("%(km)s km") % {"km": formats.number_format(f"{distance_km:g}", use_l10n=True)}


@register.filter
def time_spent(minutes: int) -> str:
    """Write a sum of minutes as `duration` does, but nothing as `0 min`."""
    return duration(minutes) if minutes else _("%(minutes)d min") % {"minutes": 0}


@register.filter
def seconds(amount: int) -> str:
    """Write a duration by the second below ten minutes: `45 s`, `2 min 05`; from then on as `duration`."""
    if amount >= 600:
        return duration(round(amount / 60))
    minutes, rest = divmod(int(amount), 60)
    if not minutes:
        return _("%(seconds)d s") % {"seconds": rest}
    return _("%(minutes)d min %(seconds)02d") % {"minutes": minutes, "seconds": rest}


@register.filter
def duration(minutes: int) -> str:
    """Write a duration: `6 min` below an hour, `4 h 10` above; the least is `1 min`."""
    hours, rest = divmod(max(1, int(minutes)), 60)
    if not hours:
        return _("%(minutes)d min") % {"minutes": rest}
    if not rest:
        return _("%(hours)d h") % {"hours": hours}
    return _("%(hours)d h %(minutes)02d") % {"hours": hours, "minutes": rest}


@register.simple_tag
def unit_attributes() -> SafeString:
    """Write how distances and durations are worded, for scripts: `data-km="{km} km"` and the like."""
    return format_html(
        'data-km="{}" data-decimal="{}" data-minutes="{}" data-hours="{}" data-hours-minutes="{}"',
        _("%(km)s km").replace("%(km)s", "{km}"),
        # Browsers do not know how Kazakh is written.
        formats.get_format("DECIMAL_SEPARATOR"),
        _("%(minutes)d min").replace("%(minutes)d", "{minutes}"),
        _("%(hours)d h").replace("%(hours)d", "{hours}"),
        _("%(hours)d h %(minutes)02d").replace("%(hours)d", "{hours}").replace("%(minutes)02d", "{minutes}"),
    )


@register.simple_tag
def date_attributes() -> SafeString:
    """Write how short dates are worded, for scripts: `data-months="Jan|Feb|…"`, `data-date="{day} {month}"`."""
    return format_html_join(" ", 'data-{}="{}"', short_date_parts().items())


@register.filter
def time_of_day(instant: dt.datetime, zone: str) -> str:
    """Write the time of day in the zone, where the day is said beside it: `14:02`."""
    return f"{instant.astimezone(ZoneInfo(zone)):%H:%M}"


@register.filter
def clock(instant: dt.datetime, zone: str) -> str:
    """Write the time of day in the zone, with its date unless that is today: `14:02`, `14:02, 28 Nov`."""
    local, today = instant.astimezone(ZoneInfo(zone)).date(), timezone.now().astimezone(ZoneInfo(zone)).date()
    time = time_of_day(instant, zone)
    return time if local == today else f"{time}, {short_date(local, year=local.year != today.year)}"


def day_name(instant: dt.datetime, zone: str, *, within: bool = False) -> str:
    """Write `Today`, `Tomorrow`, `Yesterday`, else the date, by the zone's calendar; `within` a sentence: `today`."""
    local = instant.astimezone(ZoneInfo(zone)).date()
    today = timezone.now().astimezone(ZoneInfo(zone)).date()
    days = (local - today).days
    if days == 0:
        return pgettext("within a sentence", "today") if within else _("Today")
    if days == 1:
        return pgettext("within a sentence", "tomorrow") if within else _("Tomorrow")
    if days == -1:
        return pgettext("within a sentence", "yesterday") if within else _("Yesterday")
    return short_date(local, year=local.year != today.year)


@register.filter
def day(instant: dt.datetime, zone: str) -> str:
    return day_name(instant, zone)


@register.filter
def when_in_words(instant: dt.datetime, zone: str) -> str:
    """Write day and time for the middle of a sentence, days ahead with their weekday: `Wed 2 Dec, 10:00`."""
    local, today = instant.astimezone(ZoneInfo(zone)).date(), timezone.now().astimezone(ZoneInfo(zone)).date()
    near = abs((local - today).days) <= 1
    words = day_name(instant, zone, within=True) if near else weekday_and_date(local)
    return f"{words}, {time_of_day(instant, zone)}"


@register.filter
def when(instant: dt.datetime, zone: str) -> str:
    """Write day and time in the zone: `Today 18:30`, `24 Nov 06:40`."""
    return f"{day_name(instant, zone)} {time_of_day(instant, zone)}"


@register.filter
def when_dated(instant: dt.datetime, zone: str) -> str:
    """Write date and time in the zone, also of today, for lists that are kept: `29 Nov 05:11`."""
    local, today = instant.astimezone(ZoneInfo(zone)).date(), timezone.now().astimezone(ZoneInfo(zone)).date()
    return f"{short_date(local, year=local.year != today.year)} {time_of_day(instant, zone)}"


@register.filter
def when_within(instant: dt.datetime, zone: str) -> str:
    """Write day and time for the middle of a sentence: `today 18:30`, `24 Nov 06:40`."""
    return f"{day_name(instant, zone, within=True)} {time_of_day(instant, zone)}"
