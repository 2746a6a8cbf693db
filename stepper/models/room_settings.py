"""The settings of the operations room."""

from django.db import models
from django.utils.translation import gettext_lazy as _

from .dispatch_settings import between


class RoomSettings(models.Model):
    """What is in the queue of the operations room, and for how long somebody who claimed it has it."""

    class Meta:
        abstract = True

    waiting_long_min = models.PositiveIntegerField(
        _("waiting long for a driver is, min"),
        default=5,
        db_default=5,
        validators=between(1, 120),
        help_text=_("Such a trip is in the queue of the operations room, before staff are told that nobody takes it."),
    )
    claim_kept_min = models.PositiveIntegerField(
        _("a claim ends after, min"),
        default=15,
        db_default=15,
        validators=between(1, 240),
        help_text=_("Then somebody else can take what nobody has solved. It ends at once when the matter is solved."),
    )
