"""Accounts for virtual people: the demo's, and more of them made in the database where those do not suffice.

Also tells bots from persons, so that a person who tries the service out is not crowded out by them.
"""

import datetime as dt
import secrets
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from random import Random

from django.contrib.auth.hashers import make_password
from django.db import transaction
from django.db.models import Max
from django.utils import timezone

from drivers.models import Approval, Availability, Driver, Vehicle
from stepper.models import User
from trips.models import Offer, Trip
from trips.states import VehicleClass

# Known to everybody, which is why the demo refuses where DEBUG is off.
DEMO_PASSWORD = "demo-stepper"  # noqa: S105
# Reserved: nobody has an address there.
DEMO_DOMAIN = "demo.test"
# driver1, passenger1 and staff are left to the person.
DEMO_DRIVERS = tuple(f"driver{number}@{DEMO_DOMAIN}" for number in range(2, 31))
DEMO_PASSENGERS = (f"passenger2@{DEMO_DOMAIN}",)

# One virtual passenger books for many: more at once than a person may.
TRIPS_AT_ONCE = 1000

_FIRST = [
    "Aigerim",
    "Aliya",
    "Arman",
    "Aruzhan",
    "Askar",
    "Baurzhan",
    "Dana",
    "Daniyar",
    "Dinara",
    "Erlan",
    "Gulnara",
    "Kairat",
    "Madina",
    "Marat",
    "Nurlan",
]
_LAST = [
    "Abenova",
    "Akhmetov",
    "Bekova",
    "Dzhaksybekov",
    "Iskakov",
    "Kim",
    "Nurpeisova",
    "Omarov",
    "Petrova",
    "Sadykov",
    "Suleimen",
    "Tulegenov",
]
_CARS = (("Toyota", "Camry"), ("Hyundai", "Elantra"), ("Kia", "K5"), ("Chevrolet", "Cobalt"), ("Skoda", "Octavia"))
_COLOURS = ("White", "Silver", "Black", "Grey", "Blue")


@dataclass(frozen=True)
class People:
    """E-mail addresses of virtual people and the password that most of them share."""

    drivers: list[str]
    passengers: list[str]
    password: str
    # E-mail address -> password, where it is another one.
    exceptions: dict[str, str] = field(default_factory=dict)

    def password_of(self, email: str) -> str:
        return self.exceptions.get(email, self.password)

    def joined_by(self, others: "People") -> "People":
        theirs = {email: others.password_of(email) for email in [*others.drivers, *others.passengers]}
        return People(
            [*self.drivers, *others.drivers],
            [*self.passengers, *others.passengers],
            self.password,
            {**self.exceptions, **theirs},
        )


def create_accounts(group: str, drivers: int, *, passengers: int, using: str = "default") -> People:
    """Create accounts `<group>-driver-1@city.test` and so on; those that exist get the new password.

    The password is random and hashed once, so accounts that outlive the run let nobody in. Passengers may have
    `TRIPS_AT_ONCE`, as the account of a hotel may.
    """
    crowd = People(
        [f"{group}-driver-{number}@city.test" for number in range(1, drivers + 1)],
        [f"{group}-passenger-{number}@city.test" for number in range(1, passengers + 1)],
        secrets.token_urlsafe(24),
    )
    hashed = make_password(crowd.password)
    with transaction.atomic(using):
        emails = [*crowd.drivers, *crowd.passengers]
        users = User.objects.using(using)
        users.filter(email__in=emails).update(password=hashed, is_active=True)
        known = set(users.filter(email__in=emails).values_list("email", flat=True))
        rng = Random(group)
        fresh = [
            User(email=email, name=f"{rng.choice(_FIRST)} {rng.choice(_LAST)}", password=hashed)
            for email in emails
            if email not in known
        ]
        users.bulk_create(fresh, batch_size=50)
        users.filter(email__in=crowd.passengers).update(max_overlapping_trips=TRIPS_AT_ONCE)
        _make_drivers(list(users.filter(email__in=crowd.drivers, driver__isnull=True).order_by("pk")), rng, using)
    return crowd


def _make_drivers(users: Sequence[User], rng: Random, using: str) -> None:
    vehicles = []
    for user in users:
        make_, model = rng.choice(_CARS)
        vehicles.append(
            Vehicle(
                make=make_,
                model=model,
                colour=rng.choice(_COLOURS),
                # No real plate looks like this, so none is taken.
                plate=f"SIM {user.pk:05d}",
                vehicle_class=VehicleClass.SEDAN,
                seats=4,
            )
        )
    Vehicle.objects.using(using).bulk_create(vehicles, batch_size=50)
    expires_on = timezone.localdate() + dt.timedelta(days=3650)
    Driver.objects.using(using).bulk_create(
        (
            Driver(
                user=user,
                vehicle=vehicle,
                approval=Approval.APPROVED,
                licence_number=f"SIM{user.pk:07d}",
                licence_expires_on=expires_on,
            )
            for user, vehicle in zip(users, vehicles, strict=True)
        ),
        batch_size=50,
    )


@dataclass(frozen=True)
class Persons:
    """What the database knows about people who are not bots. Every method is one unit of database work."""

    bots: Collection[str]

    def has_booked(self, trip_id: int) -> bool:
        """Return whether a person organised this trip."""
        return Trip.objects.filter(pk=trip_id).exclude(organiser__email__in=self.bots).exists()

    def hold_since(self, trip_id: int) -> dt.datetime | None:
        """Return since when a person who is online as a driver has had an open offer of this trip; None: nobody has."""
        offers = Offer.objects.open().filter(
            trip_id=trip_id, driver__is_online=True, driver__availability=Availability.AVAILABLE
        )
        latest = offers.exclude(driver__user__email__in=self.bots).aggregate(latest=Max("created_at"))["latest"]
        return latest if isinstance(latest, dt.datetime) else None
