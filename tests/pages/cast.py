"""What the people of the table of pages have in common."""

import datetime as dt
from dataclasses import dataclass, field

from stepper.models import User
from tests.factories import ALMATY, MEDEU

HOUR = dt.timedelta(hours=1)
DAY = 24 * HOUR
MINUTE = dt.timedelta(minutes=1)
# Longer than most are, as people are called and places are named.
LONG_NAME = "Aleksandra Konstantinopolskaya"
LONG_PICKUP = {
    "pickup_name": "Almaty International Airport, domestic arrivals",
    "pickup_address": "Mailin 2, the second exit, behind the taxi stand",
}
LONG_DROPOFF = {"dropoff_name": "Санаторий «Алатау», корпус 3", "dropoff_address": "Каменское плато, улица Оспанова 4а"}
USUAL_DROPOFF = {"dropoff": MEDEU, "dropoff_name": "Medeu", "dropoff_address": "Gornaya 465"}
TOKEN = "the-link-of-the-mail"


@dataclass
class Person:
    """Somebody who opens pages; `ids` are the rows that their addresses name."""

    user: User
    ids: dict[str, int | str] = field(default_factory=dict)
    # Where the device says that it is, (lat, lng); None: it does not say it.
    at: tuple[float, float] | None = ALMATY
    is_confirmed: bool = True
