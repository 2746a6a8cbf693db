from django.db import migrations, models

from stepper.db.operations import AddUniqueIndexConcurrently


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("drivers", "0015_trail_point_once")]

    operations = [
        AddUniqueIndexConcurrently(
            model_name="trailpoint",
            constraint=models.UniqueConstraint(
                condition=models.Q(("once", True)), fields=("trip", "recorded_at"), name="trail_point_once"
            ),
        ),
    ]

    upgrade_reasons = {
        "trailpoint.trail_point_once": "The last release leaves `once` false, so it binds none of its rows.",
    }
