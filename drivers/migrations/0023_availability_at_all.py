"""The index by which all drivers' hours on a day are read."""

from django.db import migrations, models

from stepper.db.operations import AddIndexConcurrently


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("drivers", "0022_decisions")]

    operations = [
        AddIndexConcurrently(
            "availabilitychange",
            models.Index(fields=["created_at"], name="availability_at"),
        ),
    ]
