"""What the people of the table of pages have in common."""

import datetime as dt
from dataclasses import dataclass, field
from typing import Any

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
WAY: dict[str, Any] = {
    "stops": [
        {"name": "Kok-Tobe", "address": "Dostyk Avenue 104b", "lat": 43.2304, "lng": 76.9569, "reached_at": None},
        {
            "name": "Almaty-2, the main railway station",
            "address": "Abylai Khan 1, beside the post office",
            "lat": 43.2745,
            "lng": 76.9420,
            "reached_at": None,
        },
        {"name": "Shymbulak", "address": "", "lat": 43.1381, "lng": 77.0658, "reached_at": None},
    ],
    "wishes": [
        {"code": "child_seat", "names": {"en": "Child seat", "ru": "Детское кресло", "kk": "Балалар орындығы"}},
        {
            "code": "luggage_help",
            "names": {"en": "Help with luggage", "ru": "Помощь с багажом", "kk": "Жүк тиеуге көмек"},
        },
    ],
}
# The same way, its first stop behind.
WAY_ON: dict[str, Any] = {
    **WAY,
    "stops": [{**WAY["stops"][0], "reached_at": "2026-03-01T09:12:00Z"}, *WAY["stops"][1:]],
}
TOKEN = "the-link-of-the-mail"


@dataclass
class Person:
    """Somebody who opens pages; `ids` are the rows that their addresses name."""

    user: User
    ids: dict[str, int | str] = field(default_factory=dict)
    # Where the device says that it is, (lat, lng); None: it does not say it.
    at: tuple[float, float] | None = ALMATY
    is_confirmed: bool = True
