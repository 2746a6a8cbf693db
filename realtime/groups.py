"""Names of the channel groups. Who is in a group gets its events, so consumers check permissions before joining."""

STAFF = "staff"


def user(user_id: int) -> str:
    """Name the group of one user's sockets: their notifications."""
    return f"user.{user_id}"


def driver(driver_id: int) -> str:
    """Name the group of one driver's sockets: their offers and `driver.updated`."""
    return f"driver.{driver_id}"


def trip(trip_id: int) -> str:
    """Name the group of who watches a trip: the organiser, booked passengers, its driver, staff who follow it."""
    return f"trip.{trip_id}"
