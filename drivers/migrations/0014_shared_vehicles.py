import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    """Let several drivers share a vehicle, one of them online or on a trip at a time."""

    dependencies = [("drivers", "0013_plates")]

    operations = [
        migrations.AlterField(
            model_name="driver",
            name="vehicle",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="drivers",
                related_query_name="driver",
                to="drivers.vehicle",
            ),
        ),
        migrations.AddConstraint(
            model_name="driver",
            constraint=models.UniqueConstraint(
                condition=models.Q(("availability", "offline"), _negated=True),
                fields=("vehicle",),
                name="driver_vehicle_in_use",
            ),
        ),
    ]

    upgrade_reasons = {
        "driver.vehicle": "Only staff at a new server let drivers share a vehicle. The last release's administration "
        "lists such a vehicle once for each driver and cannot save its seats: docs/operations.md, Upgrading.",
        "driver.driver_vehicle_in_use": "It binds drivers who share a vehicle, which the last release does not let "
        "anybody do. The table has a row for each driver: its indexes are built in a moment.",
    }
