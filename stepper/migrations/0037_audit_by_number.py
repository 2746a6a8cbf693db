"""The index by which the audit log is searched for the number of a row, whatever kind of row it is."""

from django.db import migrations, models

from stepper.db.operations import AddIndexConcurrently


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("stepper", "0036_report_recipients")]

    operations = [
        AddIndexConcurrently(
            "auditentry",
            models.Index(fields=["object_id", "-at", "-id"], name="auditentry_number"),
        ),
    ]
