"""The reports: what each reads of the counted days, one or two queries each, and how it is laid out."""

import datetime as dt
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from django.db.models import Sum
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, pgettext

from drivers.models import Driver
from stepper.dates import short_date
from stepper.models import User
from stepper.templatetags.units import money, seconds, time_spent
from trips.models import DriverDay, TripDay, TripHour, TripReason
from trips.reports.reasons import UNFILLED_WORDS, cancelled_words
from trips.reports.towns import Towns
from trips.states import Role

from . import charts
from .ranges import Scope
from .tables import Column, Kind, Report, Row, Table, share

VIEW, MONEY, DRIVERS = "trips.view_report", "trips.view_revenue", "drivers.view_driver"
# Places in the picture; the table has all.
_PLACES_DRAWN = 15
_DRIVERS_SHOWN = 100
_DRIVERS_DRAWN = 15


def _sums(model: Any, scope: Scope, *by: str, columns: Iterable[str]) -> list[dict[str, Any]]:
    """Add up columns of the scope's rows by others; one query."""
    rows = model.objects.filter(**scope.conditions()).order_by().values(*by)
    return list(rows.annotate(**{f"sum_{name}": Sum(name) for name in columns}))


def _by_day(scope: Scope, *columns: str) -> dict[dt.date, list[int]]:
    rows = _sums(TripDay, scope, "day", columns=columns)
    return {row["day"]: [row[f"sum_{name}"] for name in columns] for row in rows}


def _day_label(day: dt.date) -> str:
    return short_date(day)


def trips(scope: Scope, *, sees_money: bool) -> Report:
    """Trips by the day on which they were to depart, and what became of them."""
    found = _by_day(scope, "trips", "completed", "cancelled", "unfilled", "accepted", "accept_s")
    rows, drawn, titles = [], [], []
    total = [0] * 6
    for day in scope.dates:
        number, completed, cancelled, unfilled, accepted, accept_s = found.get(day, [0] * 6)
        total = [a + b for a, b in zip(total, found.get(day, [0] * 6), strict=True)]
        still_open = number - completed - cancelled - unfilled
        drawn.append([completed, still_open, cancelled, unfilled])
        titles.append(f"{_day_label(day)}: {number}")
        if number:
            rows.append(Row([day, *_outcome(number, completed, cancelled, unfilled, accepted, accept_s)]))
    columns = [
        Column(_("Day"), Kind.DAY),
        Column(_("Trips")),
        Column(_("Completed")),
        Column(_("Completed, share"), Kind.PERCENT),
        Column(_("Cancelled")),
        Column(_("No driver")),
        Column(pgettext("trips", "Open")),
        Column(_("Time to accept"), Kind.SECONDS),
    ]
    best = max(range(len(drawn)), key=lambda at: sum(drawn[at]))
    chart = charts.stack(
        [_day_label(day) for day in scope.dates],
        drawn,
        titles,
        series=[_("Completed"), pgettext("trips", "Open"), _("Cancelled"), _("No driver")],
        summary=_("Trips of each day; most on %(day)s. The same figures are in the table.")
        % {"day": _day_label(scope.dates[best])},
        most=str(sum(drawn[best])),
    )
    done = share(total[1], total[0])
    tiles = (
        (_("Trips"), Column("").shown(total[0])),
        (_("Completed"), Column("", Kind.PERCENT).shown(done)),
        (_("No driver"), Column("").shown(total[3])),
        (_("Time to accept"), seconds(round(total[5] / total[4])) if total[4] else "–"),
    )
    note = _("By the day of departure. Time to accept: of trips for now, from the booking, on average.")
    summed = [_("Total"), *_outcome(*total)]
    return Report("trips", _("Trips"), Table(columns, rows, summed), chart, tiles, note)


def _outcome(number: int, completed: int, cancelled: int, unfilled: int, accepted: int, accept_s: int) -> list[Any]:
    still_open = number - completed - cancelled - unfilled
    to_accept = round(accept_s / accepted) if accepted else None
    return [number, completed, share(completed, number), cancelled, unfilled, still_open, to_accept]


_WAITS = (
    ("accepted_30s", gettext_lazy("up to 30 s")),
    ("accepted_1min", gettext_lazy("up to 1 min")),
    ("accepted_2min", gettext_lazy("up to 2 min")),
    ("accepted_5min", gettext_lazy("up to 5 min")),
    ("accepted_10min", gettext_lazy("up to 10 min")),
)


def acceptance(scope: Scope, *, sees_money: bool) -> Report:
    """How long passengers of trips for now waited until the driver accepted who then drove them."""
    names = [name for name, _label in _WAITS]
    sums = TripDay.objects.filter(**scope.conditions()).aggregate(
        **{name: Sum(name, default=0) for name in ("accepted", "accept_s", *names)}
    )
    whole = sums["accepted"]
    parts = [(str(label), sums[name]) for name, label in _WAITS]
    parts.append((_("longer"), whole - sum(number for _label, number in parts)))
    columns = [Column(_("Time to accept"), Kind.TEXT), Column(_("Trips")), Column(_("Share"), Kind.PERCENT)]
    rows = [Row([label, number, share(number, whole)]) for label, number in parts] if whole else []
    chart = charts.lines(parts, _("Trips by the time until a driver accepted. The same figures are in the table."))
    tiles = ((_("Average"), seconds(round(sums["accept_s"] / whole)) if whole else "–"),)
    table = Table(columns, rows, [_("Total"), whole, share(whole, whole)])
    note = _("Of trips for now that one driver took: from the booking until the driver accepted who drove it.")
    return Report("acceptance", _("Time to accept"), table, chart, tiles, note)


def unfilled(scope: Scope, *, sees_money: bool) -> Report:
    """Trips that no driver took, by the hour of departure and the place."""
    found = _sums(TripHour, scope, "place", "hour", columns=("trips", "unfilled"))
    towns = Towns()
    by_place: dict[str, dict[int, tuple[int, int]]] = defaultdict(dict)
    for row in found:
        by_place[row["place"]][row["hour"]] = (row["sum_trips"], row["sum_unfilled"])
    order = sorted(by_place, key=lambda place: (-sum(one for one, _none in by_place[place].values()), place))
    names = {place: towns.name(place) or pgettext("place", "Elsewhere") for place in order}
    rows = [
        Row([names[place], f"{hour:02}:00", *by_place[place][hour], share(*reversed(by_place[place][hour]))])
        for place in order
        for hour in sorted(by_place[place])
        if by_place[place][hour][1]
    ]
    drawn = order[:_PLACES_DRAWN]
    values = [[by_place[place].get(hour, (0, 0))[1] for hour in range(24)] for place in drawn]
    titles = [
        [
            _("%(place)s, %(hour)s: %(unfilled)d of %(trips)d without a driver")
            % {"place": names[place], "hour": f"{hour:02}:00", "trips": pair[0], "unfilled": pair[1]}
            for hour in range(24)
            for pair in [by_place[place].get(hour, (0, 0))]
        ]
        for place in drawn
    ]
    summary = _("Trips that no driver took, by hour and place: the darker, the more. The table has the figures.")
    columns = [
        Column(_("Place"), Kind.TEXT),
        Column(_("Hour"), Kind.TEXT),
        Column(_("Trips")),
        Column(_("No driver")),
        Column(_("No driver, share"), Kind.PERCENT),
    ]
    number, without = (sum(row[name] for row in found) for name in ("sum_trips", "sum_unfilled"))
    tiles = ((_("No driver"), Column("").shown(without)), (_("Of all trips"), columns[4].shown(share(without, number))))
    note = _("By the hour of departure. Hours in which every trip had a driver are left out of the table.")
    chart = charts.heat([names[place] for place in drawn], values, titles, summary) if drawn else None
    table = Table(columns, rows, [_("Total"), "", number, without, share(without, number)])
    return Report("unfilled", _("Without a driver"), table, chart, tiles, note)


def reasons(scope: Scope, *, sees_money: bool) -> Report:
    """Why nobody took the trips that no driver took."""
    rows = TripReason.objects.filter(kind=TripReason.Kind.UNFILLED, **scope.conditions()).order_by()
    found = sorted(rows.values_list("code").annotate(number=Sum("trips")), key=lambda one: (-one[1], one[0]))
    words = [(str(UNFILLED_WORDS.get(code, code)), number) for code, number in found]
    note = _("What spoke against most drivers in the last round of offers; of days whose rounds were kept.")
    return _shares("reasons", _("Why nobody took it"), _("Reason"), words, note)


def cancellations(scope: Scope, *, sees_money: bool) -> Report:
    """Who cancelled trips, and why."""
    rows = TripReason.objects.filter(kind=TripReason.Kind.CANCELLED, **scope.conditions()).order_by()
    found = sorted(rows.values_list("side", "code").annotate(number=Sum("trips")), key=lambda one: (-one[2], one[:2]))
    sides = {value: str(label) for value, label in Role.choices}
    whole = sum(number for _side, _code, number in found)
    columns = [
        Column(_("By"), Kind.TEXT),
        Column(_("Reason"), Kind.TEXT),
        Column(_("Trips")),
        Column(_("Share"), Kind.PERCENT),
    ]
    by_side: dict[str, int] = defaultdict(int)
    lines = []
    for side, code, number in found:
        who = sides.get(side, "–")
        by_side[who] += number
        lines.append(Row([who, cancelled_words(side, code), number, share(number, whole)]))
    chart = charts.lines(list(by_side.items()), _("Cancelled trips by who cancelled them. The table has the reasons."))
    table = Table(columns, lines, [_("Total"), "", whole, share(whole, whole)])
    note = _("By the day of departure; those that found no driver are among them.")
    return Report("cancellations", _("Cancellations"), table, chart, note=note)


def revenue(scope: Scope, *, sees_money: bool) -> Report:
    """Fares, fees and drivers' shares by the day on which trips ended."""
    found = _by_day(scope, "ended", "fare", "fee")
    rows, drawn, titles, total = [], [], [], [0, 0, 0]
    for day in scope.dates:
        ended, fare, fee = found.get(day, [0, 0, 0])
        total = [total[0] + ended, total[1] + fare, total[2] + fee]
        drawn.append([fee, fare - fee])
        titles.append(f"{_day_label(day)}: {money(fare)}")
        if ended:
            rows.append(Row([day, ended, fare, fee, fare - fee, round(fare / ended)]))
    columns = [
        Column(_("Day"), Kind.DAY),
        Column(_("Trips")),
        *(Column(label, Kind.MONEY) for label in (_("Fares"), _("Fees"), _("Drivers' share"), _("Fare on average"))),
    ]
    best = max(range(len(drawn)), key=lambda at: sum(drawn[at]))
    chart = charts.stack(
        [_day_label(day) for day in scope.dates],
        drawn,
        titles,
        series=[_("Fees"), _("Drivers' share")],
        summary=_("Fares of each day; most on %(day)s. The same figures are in the table.")
        % {"day": _day_label(scope.dates[best])},
        most=money(sum(drawn[best])),
    )
    number, fare, fee = total
    tiles = ((_("Fares"), money(fare)), (_("Fees"), money(fee)), (_("Trips"), Column("").shown(number)))
    summed = [_("Total"), number, fare, fee, fare - fee, round(fare / number) if number else None]
    note = _("By the day on which the trip ended, as in the drivers' statements; the trip's own fare, without tips.")
    return Report("revenue", _("Revenue"), Table(columns, rows, summed), chart, tiles, note)


def drivers(scope: Scope, *, sees_money: bool) -> Report:
    """Each driver's hours, how much of them they drove, trips, ratings, and for who may see money fares and debts."""
    rows = DriverDay.objects.filter(**scope.of_days()).order_by()
    if scope.vehicle_class:
        rows = rows.filter(driver__vehicle__vehicle_class=scope.vehicle_class)
    names = ("trips", "online_s", "on_trips_s", "fare", "fee", "owed", "stars", "ratings")
    sums: Any = {f"sum_{name}": Sum(name) for name in names}
    # Their names apart: joining them to every day of a year takes longer than adding it up.
    found: list[Any] = list(rows.values("driver").annotate(**sums))
    found.sort(key=lambda row: (-row["sum_trips"], -row["sum_online_s"], row["driver"]))
    people = dict(Driver.objects.values_list("pk", "user__name"))
    columns = [
        Column(_("Driver"), Kind.TEXT),
        Column(_("Trips")),
        Column(_("Online"), Kind.MINUTES),
        Column(_("On trips"), Kind.MINUTES),
        Column(_("Utilisation"), Kind.PERCENT),
        Column(_("Rating"), Kind.STARS),
    ]
    if sees_money:
        columns += [Column(label, Kind.MONEY) for label in (_("Fares"), _("Fees"), _("Owes the service"))]
    page = reverse("ops:report-statement") if sees_money else ""
    lines = [
        Row(
            [people.get(row["driver"], "–"), *_driver_values(row, sees_money=sees_money)],
            f"{page}?driver={row['driver']}&month={scope.last:%Y-%m}" if page else "",
        )
        for row in found
    ]
    total = {f"sum_{name}": sum(row[f"sum_{name}"] for row in found) for name in names}
    minutes = [(people.get(row["driver"], "–"), row["sum_on_trips_s"] // 60) for row in found[:_DRIVERS_DRAWN]]
    chart = charts.lines(minutes, _("Time on trips, of the first drivers of the table."), time_spent)
    tiles = (
        (_("Online"), time_spent(total["sum_online_s"] // 60)),
        (_("Utilisation"), columns[4].shown(share(total["sum_on_trips_s"], total["sum_online_s"]))),
        *([(_("Owed to the service"), columns[-1].shown(total["sum_owed"]))] if sees_money else []),
    )
    table = Table(
        columns, lines, [_("Total"), *_driver_values(total, sees_money=sees_money)], most_shown=_DRIVERS_SHOWN
    )
    note = _("Utilisation: of the time online, how much was on trips.")
    return Report("drivers", _("Drivers"), table, chart, tiles, note, by_place=False)


def _driver_values(row: dict[str, Any], *, sees_money: bool) -> list[Any]:
    online, driving, ratings = row["sum_online_s"], row["sum_on_trips_s"], row["sum_ratings"]
    values = [row["sum_trips"], online // 60, driving // 60, share(driving, online), share(row["sum_stars"], ratings)]
    return values + ([row["sum_fare"], row["sum_fee"], row["sum_owed"]] if sees_money else [])


def ratings(scope: Scope, *, sees_money: bool) -> Report:
    """The stars that passengers gave their drivers."""
    names = [f"stars_{number}" for number in range(1, 6)]
    sums = TripDay.objects.filter(**scope.conditions()).aggregate(**{name: Sum(name, default=0) for name in names})
    counts = [(number, sums[f"stars_{number}"]) for number in range(5, 0, -1)]
    whole = sum(number for _stars, number in counts)
    columns = [Column(_("Stars"), Kind.TEXT), Column(_("Ratings")), Column(_("Share"), Kind.PERCENT)]
    rows = [Row([f"{stars} ★", number, share(number, whole)]) for stars, number in counts] if whole else []
    chart = charts.lines(
        [(f"{stars} ★", number) for stars, number in counts],
        _("Ratings by their stars. The same figures are in the table."),
    )
    average = share(sum(stars * number for stars, number in counts), whole)
    tiles = ((_("Average"), Column("", Kind.STARS).shown(average)), (_("Ratings"), Column("").shown(whole)))
    note = _("What passengers gave their drivers, by the day on which they did.")
    table = Table(columns, rows, [_("Total"), whole, share(whole, whole)])
    return Report("ratings", _("Ratings"), table, chart, tiles, note)


def _shares(key: str, title: str, label: str, words: list[tuple[str, int]], note: str) -> Report:
    whole = sum(number for _text, number in words)
    columns = [Column(label, Kind.TEXT), Column(_("Trips")), Column(_("Share"), Kind.PERCENT)]
    rows = [Row([text, number, share(number, whole)]) for text, number in words]
    chart = charts.lines(words, _("Trips by reason. The same figures are in the table."))
    return Report(key, title, Table(columns, rows, [_("Total"), whole, share(whole, whole)]), chart, note=note)


class Entry(NamedTuple):
    """A report in the list of them; one of `permissions` is needed beside that of the section."""

    title: Any
    build: Callable[..., Report]
    permissions: tuple[str, ...] = ()

    @property
    def names_drivers(self) -> bool:
        return DRIVERS in self.permissions

    def is_for(self, user: User) -> bool:
        return not self.permissions or any(user.has_perm(permission) for permission in self.permissions)


# By the name in the address, in the order of the tabs.
REPORTS: dict[str, Entry] = {
    "trips": Entry(gettext_lazy("Trips"), trips),
    "acceptance": Entry(gettext_lazy("Time to accept"), acceptance),
    "unfilled": Entry(gettext_lazy("Without a driver"), unfilled),
    "reasons": Entry(gettext_lazy("Why nobody took it"), reasons),
    "cancellations": Entry(gettext_lazy("Cancellations"), cancellations),
    "revenue": Entry(gettext_lazy("Revenue"), revenue, (MONEY,)),
    "drivers": Entry(gettext_lazy("Drivers"), drivers, (DRIVERS, MONEY)),
    "ratings": Entry(gettext_lazy("Ratings"), ratings),
}
