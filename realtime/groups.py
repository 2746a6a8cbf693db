"""Names of the channel groups. Who is in a group gets its events, so consumers check permissions before joining."""

STAFF = "staff"


def user(user_id: int) -> str:
    """Name the group of one user's sockets: their notifications."""
    return f"user.{user_id}"


def driver(driver_id: int) -> str:
    """Name the group of one driver's sockets: their offers and `driver.updated`."""
    return f"driver.{driver_id}"


def driver_of(group: str) -> int | None:
    """Return whose group `driver` has named; None: another kind of group."""
    kind, _dot, number = group.partition(".")
    return int(number) if kind == "driver" else None


def trip(trip_id: int) -> str:
    """Name the group of who watches a trip: the organiser, booked passengers, its driver, staff who follow it."""
    return f"trip.{trip_id}"


def shared_trip(trip_id: int) -> str:
    """Name the group of who watches a trip by a link: its status and the vehicle's position, nothing else of it."""
    return f"shared.{trip_id}"


def trip_for_staff(trip_id: int) -> str:
    """Name the group of staff who look at a trip: what became of single offers, which nobody else on it may know."""
    return f"staff.trip.{trip_id}"
