"""The list of drivers of the operations room: filters, search, pages."""

from collections.abc import Mapping
from typing import NamedTuple

from django.utils.translation import gettext_lazy as _

from drivers.models import Approval, Availability, Driver
from stepper.admin import searching
from stepper.db.keyset import ListPage, page_by_id
from stepper.errors import Text

# By the name in the address: the columns that a driver must have.
SHOWN: dict[str, tuple[Text, dict[str, str]]] = {
    "": (_("All"), {}),
    "available": (_("Available"), {"availability": Availability.AVAILABLE}),
    "busy": (_("On a trip"), {"availability": Availability.BUSY}),
    "offline": (_("Offline"), {"availability": Availability.OFFLINE, "approval": Approval.APPROVED}),
    "pending": (_("Waiting for approval"), {"approval": Approval.PENDING}),
    "suspended": (_("Suspended"), {"approval": Approval.SUSPENDED}),
}
COLUMNS = ["=id", *searching.person("user"), "vehicle__plate"]


class DriverFilter(NamedTuple):
    """Which drivers are wanted."""

    show: str = ""
    text: str = ""

    @classmethod
    def of(cls, given: Mapping[str, str]) -> "DriverFilter":
        """Read an address; what is no choice is none."""
        show = given.get("show", "")
        return cls(show if show in SHOWN else "", given.get("q", "").strip()[:100])


def find_drivers(wanted: DriverFilter, after: str = "") -> ListPage:
    """Return a page of the drivers that are wanted, the newest first; `after`: the cursor of the page before."""
    rows = Driver.objects.select_related("user", "vehicle", "position").filter(**SHOWN[wanted.show][1])
    return page_by_id(searching.search(rows, COLUMNS, wanted.text).rows, after)
