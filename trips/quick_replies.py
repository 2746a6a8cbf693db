"""Answers that passenger and driver choose instead of typing: stored by key, read in each reader's language."""

from django.db.models import TextChoices
from django.utils.translation import gettext_lazy as _

from .states import Role


class QuickReply(TextChoices):
    COMING = "coming", _("I am coming out")
    WAIT = "wait", _("Please wait five minutes")
    WHERE_DRIVER = "where_driver", _("Where are you?")
    ON_THE_WAY = "on_the_way", _("I am on my way")
    HERE = "here", _("I am at the pickup")
    TRAFFIC = "traffic", _("I am in traffic, a few minutes late")
    OK = "ok", _("OK, thank you")


OFFERED: dict[Role, tuple[QuickReply, ...]] = {
    Role.ORGANISER: (QuickReply.COMING, QuickReply.WAIT, QuickReply.WHERE_DRIVER, QuickReply.OK),
    Role.DRIVER: (QuickReply.ON_THE_WAY, QuickReply.HERE, QuickReply.TRAFFIC, QuickReply.OK),
}
