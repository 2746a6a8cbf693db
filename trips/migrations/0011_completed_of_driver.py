"""The index by which a driver's earnings of a period are read: not all trips that they ever completed."""

from django.db import migrations, models

from stepper.db.operations import AddIndexConcurrently


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("trips", "0010_applied_command")]

    operations = [
        AddIndexConcurrently(
            "trip",
            models.Index(
                condition=models.Q(("completed_at__isnull", False)),
                fields=["driver", "completed_at"],
                name="trip_completed_of_driver",
            ),
        ),
    ]
