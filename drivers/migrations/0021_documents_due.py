"""The index by which the dispatcher finds drivers whose licence or documents end soon."""

from django.db import migrations, models

from stepper.db.operations import AddIndexConcurrently


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("drivers", "0020_documents_valid_until")]

    operations = [
        AddIndexConcurrently(
            "driver",
            models.Index(
                fields=["documents_due_at"],
                condition=models.Q(documents_due_at__isnull=False),
                name="driver_documents_due",
            ),
        ),
    ]
