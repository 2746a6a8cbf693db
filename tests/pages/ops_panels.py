"""The pages of the operations room's trips and drivers, for the table of pages, and who opens them."""

from django.utils import timezone

from drivers.models import Driver, TrailPoint
from stepper.models import User
from tests.factories import ALMATY, DriverFactory, PassengerFactory, StaffFactory, TripFactory
from tests.pages.cast import DAY, HOUR, LONG_DROPOFF, LONG_NAME, LONG_PICKUP, MINUTE, WAY, WAY_ON, Person
from tests.papers import document
from trips import assignment, changes
from trips.dispatch import start_round
from trips.models import Trip


def _near(name: str, km: float, **fields: object) -> Driver:
    driver: Driver = DriverFactory.create(at=(ALMATY[0] + km / 111.195, ALMATY[1]), user__name=name, **fields)
    return driver


def steerer() -> Person:
    """Staff with a trip that nobody takes, one that was moved, one under way, and a driver with papers."""
    staff: User = StaffFactory.create(is_superuser=True, name="Asem Steering")
    passenger = PassengerFactory.create(name=LONG_NAME)
    near, far = _near("Aida Nurlan", 0.7), _near("Berik Omarov", 3.2)
    _near("Dana Serik", 1.4, licence_expires_on="2020-01-01")
    unfilled: Trip = TripFactory.create(
        organiser=passenger,
        status="published",
        vehicle_class="suv",
        escalated_at=timezone.now(),
        note="Gate 3. Two suitcases, a child seat and a dog; please wait beside the flower shop.",
        **LONG_PICKUP,
        **LONG_DROPOFF,
        **WAY,
    )
    start_round(unfilled.pk)
    changes.change(unfilled.pk, staff, {"bags": 3})
    moved: Trip = TripFactory.create(organiser=passenger, status="unfilled", in_=DAY, **LONG_PICKUP, **LONG_DROPOFF)
    assignment.assign(moved.pk, near.pk, staff, "the passenger asked for this driver by name")
    assignment.reassign(moved.pk, far.pk, staff, "the first driver called: the vehicle does not start")
    under_way: Trip = TripFactory.create(
        organiser=passenger, driver=_near("Daniyar Serikbayev", 0.2), status="in_transit", **LONG_DROPOFF, **WAY_ON
    )
    for minutes in range(20):
        TrailPoint.objects.create(
            trip=under_way,
            driver=under_way.driver,
            lat=ALMATY[0] + minutes * 0.002,
            lng=ALMATY[1] + minutes * 0.003,
            recorded_at=timezone.now() - (20 - minutes) * MINUTE,
        )
    TripFactory.create_batch(3, organiser=passenger, status="completed", in_=-3 * HOUR)
    document(near.user, "photo", status="accepted", accepted_at=timezone.now(), expires_on=None)
    ids: dict[str, int | str] = {
        "unfilled": unfilled.pk,
        "moved": moved.pk,
        "under_way": under_way.pk,
        "driver": near.pk,
    }
    return Person(staff, ids)
