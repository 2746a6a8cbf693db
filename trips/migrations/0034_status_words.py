"""Other words for two states of trips: no column changes."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("trips", "0033_days_of_trips"),
    ]

    operations = [
        migrations.AlterField(
            model_name="trip",
            name="status",
            field=models.CharField(
                choices=[
                    ("draft", "Draft"),
                    ("published", "Published"),
                    ("offered", "Asking drivers"),
                    ("unfilled", "Without a driver"),
                    ("accepted", "Driver found"),
                    ("en_route", "Driver on the way"),
                    ("driver_arrived", "Driver at the pickup"),
                    ("passengers_boarded", "Passengers on board"),
                    ("in_transit", "On the road"),
                    ("arrived", "At the destination"),
                    ("completed", "Completed"),
                    ("cancelled", "Cancelled"),
                ],
                default="draft",
                max_length=20,
                verbose_name="status",
            ),
        ),
    ]
