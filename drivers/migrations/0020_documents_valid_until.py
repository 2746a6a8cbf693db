"""Until when a driver's documents are valid. The dispatcher reads the dates of all drivers once: each is due."""

import django.db.models.functions.datetime
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    upgrade_reasons = {"tables": "of one of them only the words of its choices change"}

    dependencies = [
        ("drivers", "0019_navigation_app"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AddField(
            model_name="driver",
            name="documents_due_at",
            field=models.DateTimeField(blank=True, db_default=django.db.models.functions.datetime.Now(), null=True),
        ),
        migrations.AddField(
            model_name="driver",
            name="documents_valid_until",
            field=models.DateField(blank=True, null=True, verbose_name="documents valid until"),
        ),
        migrations.AlterField(
            model_name="availabilitychange",
            name="cause",
            field=models.CharField(
                choices=[
                    ("driver", "The driver's switch"),
                    ("staff", "Staff"),
                    ("hours", "Weekly hours"),
                    ("break_started", "Break started"),
                    ("break_ended", "Break ended"),
                    ("auto_offline", "No activity"),
                    ("suspended", "Suspended or rejected"),
                    ("deactivated", "Account deactivated"),
                    ("documents", "Document not accepted any more"),
                    ("trip_started", "Trip started"),
                    ("trip_ended", "Trip ended"),
                ],
                max_length=14,
                verbose_name="cause",
            ),
        ),
    ]
