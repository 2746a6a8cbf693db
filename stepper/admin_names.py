"""What staff read for fields and models that say no name themselves, so that it can be translated.

A `verbose_name` in the model would do as well, but is a migration for each field. Only names that pages of the
administration show are here; `tests/stepper/test_admin_names.py` finds one that is missing.
"""

from django.apps import apps
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

# By the field's name, the same in all models.
FIELDS = {
    "about": pgettext_lazy("a rating", "about"),
    "accepted_at": _("accepted at"),
    "accuracy_m": _("accuracy, m"),
    "beat_at": _("reported at"),
    "by": _("by"),
    "cancelled_at": _("cancelled at"),
    "cell": _("cell of the grid"),
    "completed_at": _("completed at"),
    "created_at": _("created at"),
    "dispatchable": _("can be asked"),
    "driver": _("driver"),
    "due_at": _("due at"),
    "event_id": _("event's id"),
    "heading_deg": _("heading, °"),
    "lat": _("latitude"),
    "lng": _("longitude"),
    "name": _("name"),
    "passenger": _("passenger"),
    "received_at": _("received at"),
    "recorded_at": _("recorded at"),
    "speed_kmh": _("speed, km/h"),
    "sweep_at": _("published by others from"),
    "transaction": _("transaction"),
    "trip": _("trip"),
    "updated_at": _("changed at"),
    "user": _("user"),
    "vehicle": _("vehicle"),
    "version": _("version"),
}
MODELS = {"realtime.pushsubscription": (_("push subscription"), _("push subscriptions"))}


def name_fields() -> None:
    """Give the names to all fields and models of ours that have none. The models must be loaded."""
    for label, (singular, plural) in MODELS.items():
        options = apps.get_model(label)._meta
        options.verbose_name, options.verbose_name_plural = singular, plural
    for app in ("stepper", "realtime", "drivers", "trips"):
        for model in apps.get_app_config(app).get_models():
            for field in model._meta.local_fields:
                # Migrations are made from the names that the models say, which stay as they are.
                if field.name in FIELDS and "verbose_name" not in field.deconstruct()[3]:
                    field.verbose_name = FIELDS[field.name]
