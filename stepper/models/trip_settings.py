"""When the steps of a trip are allowed, and what counts as being where they happen."""

from django.db import models
from django.utils.translation import gettext_lazy as _

from .dispatch_settings import between


class TripSettings(models.Model):
    """When the steps of a trip are allowed, and what counts as being at the pickup."""

    class Meta:
        abstract = True

    boarding_opens_min = models.PositiveIntegerField(_("boarding opens, min before departure"), default=60)
    boarding_apart = models.BooleanField(
        _("boarding and driving off are two steps"),
        default=False,
        db_default=False,
        help_text=_(
            "On private trips, where drivers take both at once otherwise. On shared trips they always are two."
        ),
    )
    boarding_code = models.BooleanField(
        _("drivers ask for a code at boarding"),
        default=False,
        db_default=False,
        help_text=_(
            "Four digits that the passenger sees and the driver enters, so that nobody gets into a wrong car. For "
            "trips that get their driver from now on."
        ),
    )
    tips_offered = models.BooleanField(
        _("passengers may note a tip"),
        default=False,
        db_default=False,
        help_text=_("With the rating, for the driver to read; it is in no sum of money."),
    )
    free_cancel_min = models.PositiveIntegerField(_("free cancelling until, min before departure"), default=120)
    release_until_min = models.PositiveIntegerField(_("driver may release until, min before departure"), default=15)
    now_tolerance_min = models.PositiveIntegerField(_("a time this many minutes ago is now"), default=5)
    tracking_opens_min = models.PositiveIntegerField(_("tracking opens, min before departure"), default=120)
    no_show_wait_min = models.PositiveIntegerField(
        _("no-show after waiting, min"),
        default=5,
        db_default=5,
        validators=between(0, 120),
        help_text=_("Counted from the departure, or from the driver's arrival where that is later."),
    )
    arrival_radius_m = models.PositiveIntegerField(
        _("at the pickup within, m"),
        default=300,
        db_default=300,
        validators=between(50, 5000),
        help_text=_("A driver who is farther away cannot say that they have arrived. Pickup areas can allow more."),
    )
    arrival_fresh_s = models.PositiveIntegerField(
        _("position bears a step out for, s"),
        default=60,
        db_default=60,
        validators=between(10, 3600),
        help_text=_("An arrival without one as new as this is flagged: no no-show, and the passenger may cancel."),
    )
    step_far_m = models.PositiveIntegerField(
        _("later steps are flagged beyond, m"),
        default=2000,
        db_default=2000,
        validators=between(100, 50_000),
        help_text=_("Driving off, arriving and completing so far from where it should be; staff see it."),
    )
    messages_open_h = models.PositiveIntegerField(
        _("messages until, h after the trip"),
        default=24,
        db_default=24,
        validators=between(0, 168),
        help_text=_("So long passenger and driver can write to each other, for what was left in the vehicle."),
    )
