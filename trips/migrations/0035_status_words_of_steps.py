"""Other words for two states in the history of trips: no column changes. A migration of its own: one table each."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("trips", "0034_status_words"),
    ]

    operations = [
        migrations.AlterField(
            model_name="triptransition",
            name="from_status",
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
                max_length=20,
                verbose_name="from",
            ),
        ),
        migrations.AlterField(
            model_name="triptransition",
            name="to_status",
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
                max_length=20,
                verbose_name="to",
            ),
        ),
    ]
