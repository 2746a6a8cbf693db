"""The settings of positions."""

from django.db import models
from django.utils.translation import gettext_lazy as _

from .dispatch_settings import between


class PositionSettings(models.Model):
    """How often phones send their position, and which positions are believed."""

    class Meta:
        abstract = True

    position_trip_s = models.PositiveIntegerField(
        _("seconds between positions on a trip"), default=10, validators=between(1, 600)
    )
    position_idle_s = models.PositiveIntegerField(
        _("seconds between positions, idle"), default=60, validators=between(1, 600)
    )
    position_move_m = models.PositiveIntegerField(
        _("metres moved that send at once"), default=25, validators=between(1, 1000)
    )
    position_replay_s = models.PositiveIntegerField(
        _("seconds a last position is replayed"), default=300, validators=between(1, 3600)
    )
    position_accuracy_m = models.PositiveIntegerField(
        _("worst accuracy for dispatch, m"), default=200, validators=between(10, 5000)
    )
    max_speed_kmh = models.PositiveIntegerField(
        _("fastest vehicle that is believed, km/h"),
        default=250,
        db_default=250,
        validators=between(50, 2000),
        help_text=_("A position that needs more is kept aside until two more agree with it."),
    )
