"""The settings that staff tune while the service runs: one abstract model a subject, one row of them all.

Those of prices and dispatch are in dispatch_settings.py, who the company is in company_settings.py, those of codes
by SMS in phone_settings.py, of positions in position_settings.py, of the operations room in room_settings.py, of the
steps of a trip in trip_settings.py.
"""

import datetime as dt

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from stepper.db.prepared import PreparedQuery

from .company_settings import CompanySettings, SupportSettings
from .dispatch_settings import DispatchSettings, PricingSettings, RankingSettings, between
from .phone_settings import PhoneSettings
from .position_settings import PositionSettings
from .room_settings import RoomSettings
from .trip_settings import TripSettings


class BookingSettings(models.Model):
    """How many trips somebody may book, and how often they may cancel late."""

    class Meta:
        abstract = True

    max_open_trips = models.PositiveIntegerField(
        _("trips of one passenger without a driver"),
        default=5,
        db_default=5,
        validators=between(1, 1000),
        help_text=_("Every trip is put before drivers who have room for a few offers only."),
    )
    max_overlapping_traveller = models.PositiveIntegerField(
        _("trips of one traveller at the same time"),
        default=1,
        db_default=1,
        validators=between(1, 1000),
        help_text=_("Also those that have a driver. An account can have a number of its own."),
    )
    max_overlapping_account = models.PositiveIntegerField(
        _("trips of one account at the same time"),
        default=3,
        db_default=3,
        validators=between(1, 1000),
        help_text=_("For the passenger and others together. An account can have a number of its own."),
    )
    booking_gap_min = models.PositiveIntegerField(
        _("between two trips of an account, min"),
        default=15,
        db_default=15,
        validators=between(0, 1440),
        help_text=_("Trips that are nearer to each other than this count as at the same time."),
    )
    book_ahead_days = models.PositiveIntegerField(
        _("booked at most so many days ahead"),
        default=30,
        db_default=30,
        validators=between(1, 365),
        help_text=_("A trip for later than that is refused, on pages and over REST."),
    )
    quote_kept_min = models.PositiveIntegerField(
        _("a price is kept, min"),
        default=10,
        db_default=10,
        validators=between(1, 60),
        help_text=_("Who books within this time pays what they saw, also where fares have changed meanwhile."),
    )
    late_cancels_per_day = models.PositiveIntegerField(
        _("cancellations a day after a driver accepted"),
        default=3,
        db_default=3,
        validators=between(1, 1000),
        help_text=_("After as many within 24 hours the passenger books nothing more until the first is a day old."),
    )


class WatchSettings(models.Model):
    """Reminders, and what staff are shown of trips that have a driver."""

    class Meta:
        abstract = True

    reminder_first_min = models.PositiveIntegerField(
        _("first reminder, min before departure"),
        default=1440,
        validators=between(0, 10080),
        help_text=_("Passenger and driver are reminded of a trip booked for later; 0: not."),
    )
    reminder_last_min = models.PositiveIntegerField(
        _("last reminder, min before departure"),
        default=60,
        validators=between(0, 1440),
        help_text=_("Whoever got the trip later than that is not reminded; 0: nobody is."),
    )
    set_off_grace_min = models.PositiveIntegerField(
        _("driver told to set off after, min"),
        default=5,
        validators=between(0, 120),
        help_text=_("Counted from when they would have to leave to be there at the departure."),
    )
    set_off_flag_min = models.PositiveIntegerField(
        _("then flagged for staff after, min"),
        default=10,
        validators=between(1, 120),
        help_text=_("A driver who was told and still stands: staff can take the trip off them, it is offered again."),
    )
    stall_min = models.PositiveIntegerField(
        _("a stall is, min"),
        default=5,
        validators=between(1, 60),
        help_text=_("Standing still or moving away for so long on the way to the pickup is shown to staff."),
    )
    stall_dark_min = models.PositiveIntegerField(
        _("dark on the way after, min"),
        default=5,
        validators=between(1, 60),
        help_text=_("A phone on a trip reports every few seconds; silence for so long is shown to staff."),
    )
    stall_move_m = models.PositiveIntegerField(
        _("metres that count as moving"),
        default=150,
        validators=between(20, 2000),
        help_text=_("Less is standing still: a position wanders by itself, a queue creeps."),
    )
    stall_away_m = models.PositiveIntegerField(
        _("metres that count as moving away"),
        default=1000,
        validators=between(100, 20_000),
        help_text=_("Farther from the pickup than the driver has been; less is a way around a block."),
    )


class WorkingTimeSettings(models.Model):
    """When a driver who does nothing goes offline by themselves."""

    class Meta:
        abstract = True

    auto_offline_warn_min = models.PositiveIntegerField(
        _("warned before going offline, min"),
        default=10,
        validators=between(1, 30),
        help_text=_("A driver who does nothing for as long as they chose (60 to 240 min) goes offline by themselves."),
    )
    active_move_m = models.PositiveIntegerField(
        _("metres driven that count as activity"),
        default=500,
        validators=between(50, 5000),
        help_text=_("Less is a parked vehicle whose position wanders."),
    )


class LimitSettings(models.Model):
    """Calls a minute."""

    class Meta:
        abstract = True

    api_per_min = models.PositiveIntegerField(
        _("API requests a minute a user"), default=100, validators=between(1, 1_000_000)
    )
    status_per_min = models.PositiveIntegerField(
        _("status updates a minute a driver"), default=10, validators=between(1, 1_000_000)
    )
    bookings_per_min = models.PositiveIntegerField(
        _("bookings a minute a user"), default=10, db_default=10, validators=between(1, 1_000_000)
    )
    changes_per_min = models.PositiveIntegerField(
        _("changes a minute a user"),
        default=20,
        db_default=20,
        validators=between(1, 1_000_000),
        help_text=_("Of each kind: cancel, search farther, go later, offer again, rate; a driver's filters and hours."),
    )
    answers_per_min = models.PositiveIntegerField(
        _("answers to offers a minute a driver"), default=60, db_default=60, validators=between(1, 1_000_000)
    )
    light_per_min = models.PositiveIntegerField(
        _("light requests a minute a user"),
        default=120,
        db_default=120,
        validators=between(1, 1_000_000),
        help_text=_("Prices asked for, and notifications marked as read."),
    )
    guest_quotes_per_min = models.PositiveIntegerField(
        _("prices a minute an address, not signed in"),
        default=60,
        db_default=60,
        validators=between(1, 1_000_000),
        help_text=_("Of everybody behind one network address who has not signed in."),
    )
    guest_bookings_per_min = models.PositiveIntegerField(
        _("bookings kept a minute an address, not signed in"),
        default=20,
        db_default=20,
        validators=between(1, 1_000_000),
        help_text=_("What they entered is kept until they have signed in."),
    )


class KeptSettings(models.Model):
    """How long rows are kept (stepper.server.pruning); trips, bookings, ratings and accounts stay.

    The least that staff can set is more than any period that something is computed from: offers of 7 days
    (drivers.metrics), late cancellations of 24 hours (trips.booking_limits).
    """

    class Meta:
        abstract = True

    event_log_hours = models.PositiveIntegerField(_("event log kept, hours"), default=24, validators=between(1, 720))
    rounds_kept_days = models.PositiveIntegerField(
        _("rounds of dispatch kept, days"),
        default=90,
        db_default=90,
        validators=between(1, 3650),
        help_text=_("For so long the admin can say why a driver did not get a trip."),
    )
    trail_kept_days = models.PositiveIntegerField(
        _("trails of trips kept, days"),
        default=180,
        db_default=180,
        validators=between(1, 3650),
        help_text=_("Where vehicles went, for the map of a past trip and for disputes."),
    )
    disputes_kept_days = models.PositiveIntegerField(
        _("what a dispute needs kept, days"),
        default=1095,
        db_default=1095,
        validators=between(30, 3650),
        help_text=_(
            "Steps of a trip and the offers of one that had a driver, from its end; what staff changed in the admin."
        ),
    )
    offers_kept_days = models.PositiveIntegerField(
        _("other offers kept, days"),
        default=90,
        db_default=90,
        validators=between(30, 3650),
        help_text=_("Of trips that no driver had, from their end; at least as long as rounds of dispatch."),
    )
    working_time_kept_days = models.PositiveIntegerField(
        _("drivers' working time kept, days"),
        default=90,
        db_default=90,
        validators=between(1, 3650),
        help_text=_("Changes of availability, at least as long as rounds of dispatch, and breaks that have ended."),
    )
    applications_kept_days = models.PositiveIntegerField(
        _("applications never sent kept, days"),
        default=90,
        db_default=90,
        validators=between(1, 3650),
        help_text=_("Of people who began to apply as drivers: what they entered, from the last change, and documents."),
    )
    watches_kept_days = models.PositiveIntegerField(
        _("watches of trips kept, days"),
        default=30,
        db_default=30,
        validators=between(1, 3650),
        help_text=_("Reminders and stalls on the way to the pickup, from the end of the trip."),
    )
    notifications_kept_days = models.PositiveIntegerField(
        _("notifications kept, days"),
        default=90,
        db_default=90,
        validators=between(1, 3650),
        help_text=_("Also those that nobody has read."),
    )
    read_notifications_kept_days = models.PositiveIntegerField(
        _("notifications kept once read, days"),
        default=90,
        db_default=90,
        validators=between(1, 3650),
        help_text=_("Counted from when they were read."),
    )
    security_log_kept_days = models.PositiveIntegerField(
        _("security log kept, days"),
        default=365,
        db_default=365,
        validators=between(30, 3650),
        help_text=_("Sign-ins, failures and changes of accounts, rights and settings."),
    )
    audit_kept_months = models.PositiveIntegerField(
        _("audit log kept, months"),
        default=36,
        db_default=36,
        validators=between(6, 120),
        help_text=_("Who of the staff looked at whose data, and what staff and the system changed. Whole months."),
    )
    messages_kept_days = models.PositiveIntegerField(
        _("messages kept, days"),
        default=1095,
        db_default=1095,
        validators=between(30, 3650),
        help_text=_("What passenger and driver wrote to each other, from the end of the trip."),
    )


class SignInSettings(models.Model):
    """How staff sign in."""

    class Meta:
        abstract = True

    staff_second_factor = models.BooleanField(
        _("staff need two-step sign-in"),
        default=False,
        db_default=False,
        help_text=_(
            "Staff who have not set it up are led to do so and have no rights of staff until then, also where they are "
            "signed in already. Only a superuser who has it switches this on."
        ),
    )


class ServiceSettings(
    PricingSettings,
    DispatchSettings,
    RankingSettings,
    TripSettings,
    BookingSettings,
    WatchSettings,
    WorkingTimeSettings,
    PositionSettings,
    LimitSettings,
    KeptSettings,
    SignInSettings,
    PhoneSettings,
    SupportSettings,
    CompanySettings,
    RoomSettings,
):
    """The one row of settings that staff change without a deploy; read once per transaction by `current()`."""

    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        verbose_name = verbose_name_plural = _("settings")
        permissions = [("change_fares", "Can change fares and fees")]
        constraints = [
            models.CheckConstraint(condition=Q(pk=1), name="settings_one_row"),
            models.CheckConstraint(
                condition=Q(platform_fee_percent__gte=0, platform_fee_percent__lte=50), name="settings_fee_0_to_50"
            ),
            models.CheckConstraint(
                condition=Q(discovery_radius_km__gte=5, discovery_radius_km__lte=200), name="settings_radius_5_to_200"
            ),
        ]

    def __str__(self) -> str:
        return str(_("Settings"))

    @classmethod
    def current(cls) -> "ServiceSettings":
        """Read the settings in force; the defaults where staff have never saved any."""
        return _saved_settings.first() or ServiceSettings(pk=1)

    def multiplier(self, vehicle_class: str) -> float:
        return float(getattr(self, f"multiplier_{vehicle_class}"))

    def offer_ttl(self, urgency: str) -> dt.timedelta:
        """Return the time a driver has to answer an offer of this urgency."""
        return dt.timedelta(seconds=getattr(self, f"offer_{urgency}_s"))


_saved_settings = PreparedQuery(lambda: ServiceSettings.objects.filter(pk=1))
