"""The index by which a driver's hours of a period are read: not all changes of their availability."""

from django.db import migrations, models

from stepper.db.operations import AddIndexConcurrently


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("drivers", "0016_trail_point_unique")]

    operations = [
        AddIndexConcurrently(
            "availabilitychange",
            models.Index(fields=["driver", "created_at"], name="availability_driver_at"),
        ),
    ]
