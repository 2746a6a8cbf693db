"""Publishes `driver.updated`: a change of the driver's own state, for their pages and programs."""

from drivers.models import Driver
from realtime import events, groups
from realtime.outbox import publish


def publish_update(driver: Driver, *changed: events.DriverPart) -> None:
    """Publish the state of the row given when the current transaction commits; `changed`: the parts that are new."""
    publish(
        events.DriverUpdated(
            driver_id=driver.pk,
            changed=list(changed),
            availability=driver.availability,
            is_online=driver.is_online,
            auto_offline_at=driver.auto_offline_at,
            on_break_until=driver.on_break_until,
            approval=driver.approval,
            filters=events.DriverFilters(
                driver.max_distance_km, driver.min_earnings, list(driver.trip_types), driver.accepts_long_distance
            ),
            rating=driver.rating,
            rating_count=driver.rating_count,
        ),
        groups.driver(driver.pk),
    )
