"""The people of the table of pages, each made with their rows when the first of their pages is opened.

What they see is stored in one database, so nobody waits for anything: deadlines are far, and no dispatcher runs.
"""

from collections.abc import Callable

from allauth.account.utils import user_pk_to_url_str
from django.contrib.sessions.backends.db import SessionStore
from django.utils import timezone, translation
from django.utils.translation import gettext as _

from drivers.models import (
    Driver,
    DriverApplication,
)
from realtime.models import Notification
from stepper.accounts import addresses
from stepper.accounts.passkeys import passkeys_of
from stepper.accounts.reset_tokens import reset_tokens
from stepper.models import AccountSession, AddressChange, DayCount, ServiceSettings, User
from tests.factories import (
    AIRPORT,
    ALMATY,
    ASTANA,
    MEDEU,
    DriverFactory,
    PassengerFactory,
    StaffFactory,
    TripFactory,
    VehicleFactory,
    place,
)
from tests.factors import give_second_factor
from tests.pages.cast import (
    DAY,
    HOUR,
    LONG_DROPOFF,
    LONG_NAME,
    LONG_PICKUP,
    MINUTE,
    TOKEN,
    USUAL_DROPOFF,
    WAY_ON,
    Person,
)
from tests.pages.drivers import complete, driver, hand_over, write_messages
from tests.pages.operators import operator
from tests.pages.ops_panels import steerer
from tests.pages.reports import finance
from tests.pages.staff import auditor, dispatcher
from tests.papers import accept_all, applicant, document, draft
from tests.passkeys import give_passkey
from trips import changes, safety, shares
from trips.models import Rating, SavedPlace, Trip, TripShare, TripWatch, Wish
from trips.states import ASSIGNED, Role, Stall, TripStatus
from trips.views import ACTIVE_PER_PAGE


def save_places(person: Person) -> None:
    """Home, and another one with long words."""
    SavedPlace.objects.filter(user=person.user).delete()
    lat, lng = ALMATY
    SavedPlace.objects.create(user=person.user, kind="home", place_name="Достык 85", lat=lat, lng=lng)
    SavedPlace.objects.create(
        user=person.user, kind="other", label=LONG_NAME[:40], place_name=LONG_PICKUP["pickup_name"], lat=lat, lng=lng
    )


def overseer() -> User:
    """A member of staff who looks after the system."""
    return StaffFactory.create(name="Yerlan Operator", email="yerlan.operator@example.test")


class People:
    """Everybody in the table, by name."""

    def __init__(self) -> None:
        self._made: dict[str, Person] = {}

    def person(self, name: str) -> Person:
        if not self._made:
            # What pages offer where staff have switched it on.
            offered = {"boarding_code": True, "tips_offered": True}
            ServiceSettings.objects.update_or_create(pk=1, defaults=offered)
        if name not in self._made:
            kind, _dash, variant = name.partition(":")
            made = MAKERS[kind](variant) if variant else MAKERS[kind]()
            self._made[name] = made if isinstance(made, Person) else Person(made)
        return self._made[name]


# Passengers


def rider() -> Person:
    """A passenger with a trip at each status, and one of every other kind that a trip's page shows."""
    user = PassengerFactory.create(name=LONG_NAME, email="aleksandra.konstantinopolskaya@example.test")
    ids: dict[str, int | str] = {}
    for status in TripStatus:
        driver = _driver_of_a_trip() if status in ASSIGNED or status == TripStatus.COMPLETED else None
        ids[status] = TripFactory.create(
            organiser=user, driver=driver, status=status, seats=2, bags=2, dropoff=MEDEU, **LONG_PICKUP, **LONG_DROPOFF
        ).pk
    Trip.objects.filter(pk=ids[TripStatus.UNFILLED]).update(escalated_at=timezone.now())
    later = TripFactory.create(
        organiser=user,
        status=TripStatus.ACCEPTED,
        driver=_driver_of_a_trip(),
        in_=5 * HOUR,
        dropoff=ASTANA,
        dropoff_name="Astana",
        note="Gate 3. Two suitcases, a child seat and a dog; please wait beside the flower shop.",
        traveller_name="Nurgul Abdrakhmanova",
        traveller_phone="+77015550101",
    )
    changed = TripFactory.create(
        organiser=user, status=TripStatus.UNFILLED, in_=6 * HOUR, dropoff=ASTANA, **LONG_PICKUP, **LONG_DROPOFF
    )
    changes.change(
        changed.pk,
        user,
        {"vehicle_class": "van", "bags": 3, "departure_at": changed.departure_at + DAY, "note": "Two bicycles."},
    )
    late = TripFactory.create(
        organiser=user,
        driver=_driver_of_a_trip(),
        status=TripStatus.EN_ROUTE,
        delay_minutes=75,
        delay_reason="A closed road at the river; the way round is longer.",
    )
    place(late.driver, ALMATY[0] + 0.03, ALMATY[1], age=10 * MINUTE)
    TripWatch.objects.create(
        trip=late, driver=late.driver, stall=Stall.STANDING, stalled_at=timezone.now() - 5 * MINUTE
    )
    coded = TripFactory.create(
        organiser=user,
        driver=_driver_of_a_trip(),
        status=TripStatus.DRIVER_ARRIVED,
        boarding_code="4821",
        **LONG_PICKUP,
    )
    document(coded.driver.user, "photo", status="accepted", accepted_at=timezone.now(), expires_on=None)
    ended = {"status": TripStatus.COMPLETED, "in_": -2 * DAY, "completed_at": timezone.now() - 2 * DAY}
    rated = TripFactory.create(organiser=user, driver=_driver_of_a_trip(), **ended)
    Rating.objects.create(
        trip=rated,
        role=Role.ORGANISER,
        by=user,
        about=rated.driver.user,
        stars=4,
        comment="Calm, on time, and knew where to stop.",
        tags=",safe_driving,clean_car,friendly,on_time,",
        tip=1500,
    )
    TripFactory.create_batch(
        12,
        organiser=user,
        driver=rated.driver,
        status=TripStatus.COMPLETED,
        in_=-3 * DAY,
        dropoff=MEDEU,
        **LONG_DROPOFF,
    )
    on_the_way = TripFactory.create(
        organiser=user, driver=_driver_of_a_trip(), status=TripStatus.IN_TRANSIT, **LONG_DROPOFF, **WAY_ON
    )
    taken_over, ridden = (
        TripFactory.create(organiser=user, driver=_driver_of_a_trip(), status=TripStatus.IN_TRANSIT, **LONG_DROPOFF)
        for _trip in range(2)
    )
    for trip in (taken_over, ridden):
        hand_over(trip, DriverFactory.create(at=AIRPORT, user__name="Askar Temirov"))
    complete(ridden)
    for wish in WAY_ON["wishes"]:
        names = {f"name_{language}": name for language, name in wish["names"].items()}
        Wish.objects.update_or_create(code=wish["code"], defaults=names)
    more = {"later": later, "changed": changed, "late": late, "coded": coded, "rated": rated, "stops": on_the_way}
    more |= {"taken_over": taken_over, "ridden": ridden}
    return Person(user, ids | {name: trip.pk for name, trip in more.items()})


def _driver_of_a_trip() -> Driver:
    driver: Driver = DriverFactory.create(
        at=(ALMATY[0] + 0.02, ALMATY[1] + 0.01), user__name="Daniyar Serikbayev", vehicle__colour="Silver"
    )
    Driver.objects.filter(pk=driver.pk).update(rating_sum=1470, rating_count=300)
    return driver


def guest() -> Person:
    """A passenger whose usual trip has begun."""
    at = (AIRPORT[0] - 0.02, AIRPORT[1] - 0.015)
    driver: Driver = DriverFactory.create(at=at, user__name="Daniyar Serikbayev", vehicle__plate="482 ABX 02")
    Driver.objects.filter(pk=driver.pk).update(rating_sum=1470, rating_count=300)
    user = PassengerFactory.create(name="Aliya Serikova")
    trip = TripFactory.create(
        organiser=user,
        driver=driver,
        status=TripStatus.EN_ROUTE,
        seats=2,
        pickup=AIRPORT,
        pickup_name="Almaty airport",
        **USUAL_DROPOFF,
    )
    write_messages(trip)
    lost = TripFactory.create(
        organiser=user, driver=driver, status=TripStatus.COMPLETED, completed_at=timezone.now() - HOUR, in_=-2 * HOUR
    )
    called = TripFactory.create(organiser=user, driver=_driver_of_a_trip(), status=TripStatus.IN_TRANSIT)
    safety.raise_alert(called.pk, user)
    link = shares.create_share(trip.pk, user).token
    sent = shares.create_share(called.pk, user)
    TripShare.objects.filter(pk=sent.share.pk).update(sent_to="+77015551234")
    keys = {"trip": trip.pk, "lost": lost.pk, "called": called.pk, "share": link, "sent": sent.token}
    return Person(user, keys)


def hotel() -> User:
    """An account with more trips ahead than a page shows."""
    user: User = PassengerFactory.create(name="Hotel Zhetysu")
    for number in range(ACTIVE_PER_PAGE + 1):
        TripFactory.create(organiser=user, in_=(5 + number) * HOUR)
    return user


def newcomer() -> User:
    user: User = PassengerFactory.create(name="Aru Li")
    return user


def reader() -> User:
    """Somebody with notifications; `write_notifications` fills them in, in their language."""
    user: User = PassengerFactory.create(name="Aigerim Sadykova")
    return user


def write_notifications(person: Person) -> None:
    Notification.objects.filter(user=person.user).delete()
    with translation.override(person.user.language):
        words = [
            (_("Driver found"), _("You can go online and drive."), Notification.Category.TRIP),
            (_("Nobody nearby is free at this moment. We keep looking."), "", Notification.Category.BOOKING),
            (
                _("Your application is being checked."),
                _("The reason is in your notifications."),
                Notification.Category.SYSTEM,
            ),
        ]
    for number in range(32):
        title, message, category = words[number % 3]
        Notification.objects.create(
            user=person.user,
            title=title,
            message=message,
            category=category,
            action_url="/trips/",
            read_at=timezone.now() if number % 4 == 3 else None,
        )


def two_step() -> User:
    """Somebody with a second factor."""
    user: User = PassengerFactory.create(email="two.steps@example.test")
    give_second_factor(user)
    return user


def with_passkeys() -> Person:
    """Somebody with an app and two passkeys, one of which has as long a name as can be."""
    user = two_step_of("passkeys")
    for name in ("Phone", f"{LONG_NAME} {LONG_NAME}"[:60]):
        give_passkey(user, name)
    first = passkeys_of(user)[0]
    first.record_usage()
    return Person(user, {"passkey": first.pk})


def unconfirmed() -> Person:
    """Somebody who signed in a while ago: what changes the account asks for the password first."""
    person = Person(two_step_of("unconfirmed"), is_confirmed=False)
    _sign_in_elsewhere(person.user)
    return person


def two_step_of(name: str) -> User:
    user: User = PassengerFactory.create(email=f"{name}@example.test")
    give_second_factor(user)
    return user


def no_password() -> User:
    """Nor a phone that a code could be sent to."""
    user: User = PassengerFactory.create(phone=None)
    user.set_unusable_password()
    user.save()
    return user


def unverified() -> User:
    """Somebody whose number no code has proved."""
    user: User = PassengerFactory.create(phone_verified_at=None)
    return user


def forget_sms(_person: Person) -> None:
    """Let codes be sent again: all visits are of one network."""
    DayCount.objects.all().delete()


def no_proof() -> User:
    """Neither a password nor an e-mail."""
    user: User = PassengerFactory.create(email=None)
    user.set_unusable_password()
    user.save()
    return user


def forgetful() -> Person:
    """Somebody whom a link was mailed that sets a new password."""
    user = PassengerFactory.create()
    return Person(user, {"uid": user_pk_to_url_str(user), "key": reset_tokens.make_token(user)})


def mover() -> Person:
    """Somebody whose new e-mail waits for its link, signed in on other devices too."""
    user = PassengerFactory.create(email="a.rather.long.address.of.somebody@mail.example.test")
    addresses._store(user, "another.rather.long.address.of.somebody@mail.example.test", token=TOKEN, code=None)
    assert AddressChange.objects.filter(user=user).exists()
    _sign_in_elsewhere(user)
    return Person(user, {"token": TOKEN})


def _sign_in_elsewhere(user: User) -> None:
    agents = (
        "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 Version/17.5 Mobile Safari/604.1",
        "Mozilla/5.0 (Linux; Android 14; SM-S918B) AppleWebKit/537.36 Chrome/126.0.0.0 Mobile Safari/537.36",
        "a-program-of-somebody/1.0 (with a long description of itself)",
    )
    for number, agent in enumerate(agents):
        session = SessionStore()
        session.create()
        assert session.session_key is not None
        AccountSession.objects.create(
            session_id=session.session_key,
            user=user,
            auth_hash=user.get_session_auth_hash(),
            user_agent=agent,
            is_program=number == 2,
            address="2001:db8:85a3:8d3::/64",
            last_seen_at=timezone.now() - number * DAY,
            signed_in_at=timezone.now() - 9 * DAY,
        )


# Applicants


def applying(state: str) -> User:
    """Somebody whose application stands like this (`drivers.papers.State`, and `begun`: nothing is entered yet)."""
    match state:
        case "begun":
            begun: User = PassengerFactory.create(name=LONG_NAME)
            return begun
        case "draft":
            user = draft()
            DriverApplication.objects.filter(user=user).update(make="Mercedes-Benz", model="Sprinter 316 CDI long")
            return user
    found = applicant()
    if state == "changes":
        found.user.driver_documents.filter(kind="insurance").update(
            status="rejected",
            reason="The plate is cut off: all four corners must be readable.",
            ended_at=timezone.now(),
        )
    elif state == "approved":
        accept_all(found.user)
        document(found.user, "photo", expires_on=None)
    if state in {"approved", "rejected", "suspended"}:
        vehicle = found.vehicle or VehicleFactory.create()
        Driver.objects.filter(pk=found.pk).update(approval=state, vehicle=vehicle)
    return found.user


MAKERS: dict[str, Callable[..., User | Person]] = {
    "rider": rider,
    "guest": guest,
    "hotel": hotel,
    "newcomer": newcomer,
    "reader": reader,
    "two-step": two_step,
    "unconfirmed": unconfirmed,
    "passkeys": with_passkeys,
    "no-password": no_password,
    "no-proof": no_proof,
    "unverified": unverified,
    "forgetful": forgetful,
    "mover": mover,
    "driver": driver,
    "applying": applying,
    "operator": operator,
    "overseer": overseer,
    "dispatcher": dispatcher,
    "auditor": auditor,
    "steerer": steerer,
    "finance": finance,
}
