"""Both sides of a completed trip rate each other: stars, tags of a fixed list, words; the passenger notes a tip."""

from collections.abc import Sequence

from django.db import IntegrityError, transaction
from django.db.models import Count, F, Q
from django.utils.translation import gettext as _

from drivers.models import Driver
from drivers.updates import publish_update
from realtime import events, groups
from realtime.outbox import publish
from stepper import limits
from stepper.db.clock import database_now
from stepper.db.transactions import Stale, in_transaction
from stepper.errors import Conflict, InvalidInput, NotFound, NotPermitted
from stepper.models import ServiceSettings, User
from stepper.texts import clean_text
from trips.access import trip_for
from trips.models import Rating, Trip, TripLeg
from trips.states import TAGS, Role, TripStatus

# In whole tenge; 0 is none.
LARGEST_TIP = 1_000_000
# What whoever rated can change.
_CHANGEABLE = ("stars", "comment", "tags", "tip")


def rate(
    trip_id: int,
    user: User,
    *,
    stars: int,
    comment: str | None = None,
    tags: Sequence[str] | None = None,
    tip: int | None = None,
    driver_id: int | None = None,
) -> Rating:
    """Rate the other side of a completed trip, as its passenger or as a driver who drove it or a leg of it.

    Each side has one rating of each other. `driver_id`: which driver the passenger rates, of several; None: who brought
    them to the destination. Who gave it can change all of it for `CHANGE_RATING_FOR` from the first time on; the same
    again changes nothing. `comment`, `tags`, `tip` None: what there is stays, of a new rating none. `tip`: what the
    passenger says that they gave, in whole tenge, 0: nothing; it pays nothing.

    Raises:
        NotFound (trip.not_found, driver.not_found), InvalidInput (stars, tags, tip)
        Conflict: rating.too_early, rating.already_given, rating.tips_off
        TooManyRequests: more than `changes_per_min`
    """
    limits.count_call_of(user, "rate", "changes_per_min")
    if isinstance(stars, bool) or stars not in range(1, 6):
        raise InvalidInput("input.invalid", _("Choose 1 to 5 stars."), {"stars": [_("Choose 1 to 5 stars.")]})
    trip, leg = _trip_and_leg(user, trip_id, driver_id)
    if trip.status != TripStatus.COMPLETED or trip.driver is None:
        raise Conflict("rating.too_early", _("A trip is rated when it is completed."))
    driver = leg.driver if leg else trip.driver
    if driver.user_id == user.pk:
        role, about = Role.DRIVER, trip.organiser
    elif trip.organiser_id == user.pk:
        role, about = Role.ORGANISER, driver.user
    else:
        raise NotPermitted("auth.forbidden", _("Only the passenger and the driver rate each other."))
    wanted = Rating(trip=trip, role=role, by=user, about=about, leg=leg.number if leg else 0, stars=stars)
    given: set[str] = {"stars"}
    if comment is not None:
        wanted.comment = clean_text(comment[:500], multiline=True)
        given.add("comment")
    if tags is not None:
        wanted.tags = _stored_tags(role, tags)
        given.add("tags")
    if tip is not None:
        wanted.tip = _checked_tip(role, tip)
        given.add("tip")
    return _store(driver, wanted, given)


def _trip_and_leg(user: User, trip_id: int, driver_id: int | None) -> tuple[Trip, TripLeg | None]:
    """Return the trip and the former leg that is rated, or whose driver rates; None: the last or only leg.

    Raises:
        NotFound: trip.not_found; driver.not_found, the driver had no part in the trip
    """
    legs = TripLeg.objects.select_related("driver__user")
    own = legs.select_related("trip__organiser", "trip__driver__user").filter(trip=trip_id, driver__user=user).first()
    if own is not None:
        return own.trip, own
    trip = trip_for(user, trip_id)
    if driver_id is None or trip.driver_id == driver_id:
        return trip, None
    leg = legs.filter(trip=trip, driver=driver_id).first()
    if leg is None:
        raise NotFound("driver.not_found", _("There is no such driver."))
    return trip, leg


def _stored_tags(role: Role, tags: Sequence[str]) -> str:
    """Return tags as they are stored, each once and in their order. Raises InvalidInput."""
    known = TAGS[role].values
    if not set(tags) <= set(known):
        raise InvalidInput("input.invalid", _("Choose from the list."), {"tags": [_("Choose from the list.")]})
    chosen = [value for value in known if value in tags]
    return f",{','.join(chosen)}," if chosen else ""


def _checked_tip(role: Role, tip: int) -> int | None:
    """Return a tip as it is stored; None: none. Raises InvalidInput, Conflict."""
    if isinstance(tip, bool) or not 0 <= tip <= LARGEST_TIP:
        words = _("Enter whole tenge, at most 1 000 000.")
        raise InvalidInput("input.invalid", words, {"tip": [words]})
    if tip == 0:
        return None
    if role != Role.ORGANISER:
        raise NotPermitted("auth.forbidden", _("Only the passenger says what they gave."))
    if not ServiceSettings.current().tips_offered:
        raise Conflict("rating.tips_off", _("Tips are not noted here."))
    return tip


@in_transaction
def _store(driver: Driver, wanted: Rating, given: set[str]) -> Rating:
    """Create a rating, or change what was `given` of this side's; keep the average and publish. Raises Conflict."""
    User.objects.lock_active(wanted.by_id)
    mine = Rating.objects.filter(trip=wanted.trip_id, by=wanted.by_id, leg=wanted.leg)
    stored = mine.select_for_update(no_key=True).first()
    if stored is None:
        try:
            with transaction.atomic():
                wanted.save(force_insert=True)
        except IntegrityError:  # the other tab got there first; the next try changes what it gave
            raise Stale from None
        _add_to_average(driver, wanted, stars=wanted.stars, ratings=1)
        return wanted
    changed = [name for name in _CHANGEABLE if name in given and getattr(stored, name) != getattr(wanted, name)]
    if not changed:
        return stored
    if not stored.may_change(database_now()):
        raise Conflict("rating.already_given", _("You have rated this trip already."))
    difference = wanted.stars - stored.stars
    for name in changed:
        setattr(stored, name, getattr(wanted, name))
    stored.save(update_fields=changed)
    _add_to_average(driver, stored, stars=difference, ratings=0)
    return stored


def _add_to_average(driver: Driver, rating: Rating, *, stars: int, ratings: int) -> None:
    """Add to the sums that the rated side's average is read from, and publish that the trip was rated."""
    sums = {"rating_sum": F("rating_sum") + stars, "rating_count": F("rating_count") + ratings}
    if rating.role == Role.DRIVER:
        User.objects.filter(pk=rating.about_id).update(**sums)
    else:
        Driver.objects.filter(pk=driver.pk).update(**sums)
    publish(
        events.TripRated(trip_id=rating.trip_id, by="driver" if rating.role == Role.DRIVER else "organiser"),
        groups.trip(rating.trip_id),
        groups.driver(driver.pk),
    )
    if rating.role == Role.ORGANISER:
        publish_update(Driver.objects.get(pk=driver.pk), "rating")


def count_tags(user_id: int, role: Role) -> list[tuple[str, int]]:
    """Return how often each tag was given to somebody by `role`, those that were, the most frequent first."""
    tags = TAGS[role]
    counted = {tag.value: Count("pk", filter=Q(tags__contains=f",{tag.value},")) for tag in tags}
    row = Rating.objects.filter(about=user_id, role=role).exclude(tags="").aggregate(**counted)
    found = [(str(tag.label), int(row[tag.value])) for tag in tags if row[tag.value]]
    return sorted(found, key=lambda one: -one[1])
