"""The history of what was changed of a booked trip."""

from typing import Final

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from stepper.texts import PlainTextField
from trips.states import Role

from .trip import Trip

# The columns by which a driver decides whether they want a trip, beside those that follow from them.
DECIDED_BY: Final = frozenset(
    {
        *(f"{end}_{part}" for end in ("pickup", "dropoff") for part in ("lat", "lng")),
        *("stops", "is_now", "departure_at", "vehicle_class", "seats", "bags", "wishes", "fare"),
    }
)


class TripChangeQuerySet(models.QuerySet["TripChange"]):
    def made_another_trip_of(self, trip: Trip) -> bool:
        """Say whether staff have changed what its driver decided by, since they have the trip."""
        if trip.accepted_at is None:
            return False
        since = self.filter(trip=trip, role=Role.STAFF, created_at__gte=trip.accepted_at)
        return any(not DECIDED_BY.isdisjoint(changes) for changes in since.values_list("changes", flat=True))


class TripChange(models.Model):
    """What somebody changed of a trip after it was booked, who and when. Never changed; trips.changes writes it.

    `changes` and `words`: column of the trip -> [before, after], instants in ISO 8601. `words` are what may name people
    (the note, the traveller): they are emptied when the organiser deletes their account.
    """

    # Without constraints: a server of the release before knows nothing of this table.
    trip = models.ForeignKey(Trip, models.CASCADE, related_name="changes", db_constraint=False, verbose_name=_("trip"))
    role = models.CharField(_("as"), max_length=10, choices=Role.choices)
    by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, related_name="+", db_constraint=False, verbose_name=_("by")
    )
    changes = models.JSONField(_("changes"), default=dict)
    words = models.JSONField(_("words changed"), default=dict)
    # Why, where staff changed it; staff alone read it.
    reason = PlainTextField(_("reason"), max_length=200, blank=True, default="", db_default="")
    created_at = models.DateTimeField(_("at"), auto_now_add=True)

    objects = TripChangeQuerySet.as_manager()

    class Meta:
        verbose_name = _("change of a trip")
        verbose_name_plural = _("changes of trips")
        ordering = ["created_at", "pk"]

    def __str__(self) -> str:
        return f"{self.trip_id}: {', '.join([*self.changes, *self.words])}"
