"""`driver.updated`: tells a driver's pages and programs what changed of themselves."""

from drivers.models import Driver
from realtime import events, groups
from realtime.outbox import publish


def publish_update(driver: Driver, *changed: events.DriverPart) -> None:
    """Publish the driver's state as the row given has it, on commit; call inside the transaction that changed it."""
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
