"""The indexes of the lists of trips in the operations room."""

from django.db import migrations, models

from stepper.db.operations import AddIndexConcurrently


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("trips", "0030_change_reason")]

    operations = [
        AddIndexConcurrently("trip", models.Index(fields=["departure_at", "id"], name="trip_by_departure")),
        AddIndexConcurrently(
            "trip",
            models.Index(
                fields=["departure_at", "id"],
                condition=models.Q(("status__in", ["cancelled", "completed"]), _negated=True),
                name="trip_unfinished",
            ),
        ),
    ]
