"""Why staff changed a trip."""

from django.db import migrations

import stepper.texts


class Migration(migrations.Migration):
    dependencies = [("trips", "0029_live_trips")]

    operations = [
        migrations.AddField(
            model_name="tripchange",
            name="reason",
            field=stepper.texts.PlainTextField(
                blank=True, db_default="", default="", max_length=200, verbose_name="reason"
            ),
        ),
    ]
