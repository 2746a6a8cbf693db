"""The indexes by which the reports' days are counted."""

from django.db import migrations, models

from stepper.db.operations import AddIndexConcurrently


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("trips", "0032_report_days")]

    operations = [
        AddIndexConcurrently(
            "rating",
            models.Index(fields=["created_at"], name="rating_at"),
        ),
        AddIndexConcurrently(
            "trip",
            models.Index(
                condition=models.Q(("completed_at__isnull", False)), fields=["completed_at"], name="trip_completed"
            ),
        ),
    ]
