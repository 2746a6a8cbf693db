"""Rows as structs of the event contract: what driver and passenger read about each other and a trip."""

from drivers.models import Driver, Vehicle
from realtime import events

from .models import Offer, Trip
from .states import ASSIGNED, OPEN, OfferStatus


def pickup(trip: Trip) -> events.Place:
    return events.Place(trip.pickup_name, trip.pickup_address, trip.pickup_lat, trip.pickup_lng)


def dropoff(trip: Trip) -> events.Place:
    return events.Place(trip.dropoff_name, trip.dropoff_address, trip.dropoff_lat, trip.dropoff_lng)


def driver_card(driver: Driver, *, with_phone: bool = True) -> events.DriverCard:
    phone = driver.user.phone if with_phone else None
    return events.DriverCard(
        id=driver.pk,
        name=driver.user.short_name,
        phone=phone.as_e164 if phone else None,
        rating=driver.rating,
        rating_count=driver.rating_count,
    )


def vehicle_card(vehicle: Vehicle | None) -> events.VehicleCard:
    if vehicle is None:
        raise ValueError("a driver with a trip has a vehicle")
    return events.VehicleCard(
        make=vehicle.make,
        model=vehicle.model,
        colour=vehicle.colour,
        plate=vehicle.plate_text,
        seats=vehicle.seats,
        vehicle_class=vehicle.vehicle_class,
    )


def seats_of(driver: Driver) -> int:
    return driver.vehicle.seats if driver.vehicle else 0


def offer_card(offer: Offer, trip: Trip, *, vehicle_seats: int) -> events.OfferCreated:
    """Return the event of an offer."""
    return events.OfferCreated(
        trip_id=trip.pk,
        offer_id=offer.pk,
        version=trip.version,
        trip_type=trip.trip_type,
        title=trip.title,
        pickup=pickup(trip),
        dropoff=dropoff(trip),
        departure_at=trip.departure_at,
        is_now=trip.is_now,
        timezone=trip.timezone,
        seats=trip.seats,
        vehicle_seats=vehicle_seats,
        bags=trip.bags,
        fare=trip.fare,
        earnings=trip.own_earnings,
        distance_km=offer.distance_km,
        pickup_min=offer.pickup_min,
        trip_km=trip.own_km,
        trip_min=trip.own_min,
        urgency=offer.urgency,
        difficulty=offer.difficulty,
        created_at=offer.created_at,
        expires_at=offer.expires_at,
        cash=trip.fare if trip.payment_method == "cash" else 0,
        stops=trip.stop_list,
        wishes=trip.wish_list,
    )


def snapshot(trip: Trip, location: events.DriverLocationUpdated | None) -> events.TripSnapshot:
    """Return the trip's present state, for a socket that just joined it. One query if the trip is open."""
    return events.TripSnapshot(
        trip_id=trip.pk,
        version=trip.version,
        status=trip.status,
        pickup=pickup(trip),
        dropoff=dropoff(trip),
        departure_at=trip.departure_at,
        timezone=trip.timezone,
        seats=trip.seats,
        fare=trip.fare,
        # The number is for meeting: it is not shown after the trip.
        driver=driver_card(trip.driver, with_phone=trip.status in ASSIGNED) if trip.driver else None,
        vehicle=vehicle_card(trip.vehicle) if trip.vehicle else None,
        delay_minutes=trip.delay_minutes,
        delay_reason=trip.delay_reason,
        arrival_confirmed=not trip.awaits_confirmation,
        stops=trip.stop_list,
        wishes=trip.wish_list,
        offers_open=trip.offers.filter(status=OfferStatus.PENDING).count() if trip.status in OPEN else 0,
        next_look_at=trip.next_look_at,
        location=location,
    )
