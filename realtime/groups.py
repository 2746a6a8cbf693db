"""Names of the channel groups. Membership is the permission: consumers join only after a check on the server."""

STAFF = "staff"


def user(user_id: int) -> str:
    """Personal notifications of one user, on every tab."""
    return f"user.{user_id}"


def driver(driver_id: int) -> str:
    """Offers of one driver."""
    return f"driver.{driver_id}"


def trip(trip_id: int) -> str:
    """Everybody on a trip: organiser, booked passengers, its driver."""
    return f"trip.{trip_id}"
