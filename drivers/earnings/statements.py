"""The statement of a month: its trips and what they came to, as a file for spreadsheets or for paper."""

import datetime as dt
from dataclasses import dataclass
from functools import cached_property
from zoneinfo import ZoneInfo

from django.utils.translation import gettext as _

from drivers.models import Driver
from stepper import limits
from stepper.audit.looks import looked_at
from stepper.db.clock import database_now
from stepper.errors import InvalidInput, NotFound
from stepper.models import User
from stepper.web.downloads import File

from . import listing, periods
from .periods import Kind, Period
from .sums import Sums

# A statement for paper takes about a second of a processor.
_PER_MIN = 10
# Whoever pays drivers goes through all of them.
_PER_MIN_OF_STAFF = 120
# About 60 pages. Who has more trips in a month gets them as a file for spreadsheets.
MOST_ON_PAPER = 2_000


@dataclass(frozen=True)
class Statement:
    """All completed trips of one month, read at one moment by one query; the sums are those of these rows."""

    driver: Driver
    month: Period
    made_at: dt.datetime
    trips: list[listing.EarnedTrip]

    @property
    def is_final(self) -> bool:
        """The month is over: no trip can be added to it."""
        return self.made_at >= self.month.ends_at

    @cached_property
    def total(self) -> Sums:
        rows = self.trips
        return Sums(
            trips=len(rows),
            fare=sum(row.fare for row in rows),
            fee=sum(row.fee for row in rows),
            earned=sum(row.earned for row in rows),
            fee_owed=sum(row.fee_owed for row in rows),
        )

    @cached_property
    def cash(self) -> int:
        return sum(row.cash for row in self.trips)


def read_statement(driver: Driver, month: str) -> Statement:
    """Read the statement of a month, as `2026-11`; an empty text: this month, as far as it has come.

    Raises:
        InvalidInput: there is no such month, or it has not begun
        TooManyRequests: more than ten in a minute
    """
    limits.spend("statement", driver.pk, most=_PER_MIN)
    return _read(driver, month)


def read_for_staff(driver_id: int, month: str, staff: User) -> Statement:
    """Read the statement of any driver for staff who may see money, as `read_statement`; the limit is the reader's.

    Raises:
        NotPermitted: auth.forbidden
        NotFound: there is no such driver
        InvalidInput, TooManyRequests: as `read_statement`
    """
    staff.require_staff("trips.view_revenue")
    limits.spend("statement_of_staff", staff.pk, most=_PER_MIN_OF_STAFF)
    driver = Driver.objects.select_related("user", "vehicle").filter(pk=driver_id).first()
    if driver is None:
        raise NotFound("not_found", _("There is no such driver."))
    looked_at(staff, [driver.user_id], "drivers.driver", driver.pk)
    return _read(driver, month)


def _read(driver: Driver, month: str) -> Statement:
    now = database_now()
    period = periods.parse(Kind.MONTH, month, ZoneInfo(driver.timezone), now)
    return Statement(driver, period, now, listing.all_trips(driver.pk, period))


def write(statement: Statement, file_format: str) -> File:
    """Write the file, `csv`, `xlsx` or `pdf`, in the active language.

    Raises:
        NotFound: there is no such format
        InvalidInput: the month has too many trips for paper
    """
    # Half a second of imports that a process without statements does not need.
    from stepper.web import spreadsheets  # noqa: PLC0415

    from . import statement_csv, statement_pdf  # noqa: PLC0415

    name = f"steppergo-{statement.month.key}.{file_format}"
    if file_format in spreadsheets.CONTENT_TYPES:
        return File(name, spreadsheets.CONTENT_TYPES[file_format], statement_csv.write(statement, file_format))
    if file_format != "pdf":
        raise NotFound("not_found", _("There is no such file."))
    if len(statement.trips) > MOST_ON_PAPER:
        reason = _("This month has more than %(most)d trips: take the file for spreadsheets.") % {"most": MOST_ON_PAPER}
        raise InvalidInput("input.invalid", reason, {"month": [reason]})
    return File(name, "application/pdf", statement_pdf.write(statement))
