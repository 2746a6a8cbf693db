"""What several frames are made of: places, stops, wishes, the cards of driver and vehicle."""

import datetime as dt

from msgspec import Struct


class Place(Struct, frozen=True):
    name: str
    address: str
    lat: float
    lng: float


class Stop(Place, frozen=True):
    """A stop between pickup and dropoff; `reached_at` None: the driver has not marked it."""

    reached_at: dt.datetime | None = None


class Wish(Struct, frozen=True):
    """A wish that was chosen for a trip; `names`: by language, as staff had written them then."""

    code: str
    names: dict[str, str]


class DriverCard(Struct, frozen=True):
    """What a passenger sees of their driver."""

    id: int
    name: str
    phone: str | None
    rating: float | None
    rating_count: int


class VehicleCard(Struct, frozen=True):
    make: str
    model: str
    colour: str
    plate: str
    seats: int
    vehicle_class: str
