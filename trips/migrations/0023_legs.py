import django.db.models.deletion
from django.db import migrations, models

import stepper.texts


class Migration(migrations.Migration):
    dependencies = [
        ("drivers", "0022_decisions"),
        ("trips", "0022_rating_tags"),
    ]

    operations = [
        migrations.AddField(
            model_name="trip",
            name="former_legs",
            field=models.PositiveSmallIntegerField(db_default=0, default=0, editable=False, verbose_name="handed over"),
        ),
        migrations.AddField(
            model_name="trip",
            name="former_fare",
            field=models.PositiveIntegerField(db_default=0, default=0, editable=False),
        ),
        migrations.AddField(
            model_name="trip",
            name="former_fee",
            field=models.PositiveIntegerField(db_default=0, default=0, editable=False),
        ),
        migrations.AddField(
            model_name="trip",
            name="former_km",
            field=models.FloatField(db_default=0, default=0, editable=False),
        ),
        migrations.CreateModel(
            name="TripLeg",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("number", models.PositiveSmallIntegerField(verbose_name="leg")),
                ("from_name", stepper.texts.PlainTextField(max_length=120, verbose_name="from")),
                ("from_address", stepper.texts.PlainTextField(blank=True, editable=False, max_length=200)),
                ("from_lat", models.FloatField()),
                ("from_lng", models.FloatField()),
                ("to_name", stepper.texts.PlainTextField(max_length=120, verbose_name="to")),
                ("to_address", stepper.texts.PlainTextField(blank=True, editable=False, max_length=200)),
                ("to_lat", models.FloatField()),
                ("to_lng", models.FloatField()),
                ("started_at", models.DateTimeField(verbose_name="boarded")),
                ("ended_at", models.DateTimeField(verbose_name="handed over")),
                ("km", models.FloatField(verbose_name="distance, km")),
                ("fare", models.PositiveIntegerField(verbose_name="part of the fare, ₸")),
                ("fee", models.PositiveIntegerField(verbose_name="part of the fee, ₸")),
                ("departure_at", models.DateTimeField(editable=False)),
                ("ends_at", models.DateTimeField(editable=False)),
                ("is_now", models.BooleanField(editable=False)),
                (
                    "driver",
                    models.ForeignKey(
                        db_constraint=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="legs",
                        to="drivers.driver",
                        verbose_name="driver",
                    ),
                ),
                (
                    "trip",
                    models.ForeignKey(
                        db_constraint=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="legs",
                        to="trips.trip",
                        verbose_name="trip",
                    ),
                ),
                (
                    "vehicle",
                    models.ForeignKey(
                        db_constraint=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="legs",
                        to="drivers.vehicle",
                        verbose_name="vehicle",
                    ),
                ),
            ],
            options={
                "verbose_name": "leg",
                "verbose_name_plural": "legs",
                "ordering": ["trip", "number"],
                "constraints": [
                    models.UniqueConstraint(fields=("trip", "number"), name="leg_once"),
                    models.UniqueConstraint(fields=("trip", "driver"), name="leg_one_of_a_driver"),
                    models.CheckConstraint(
                        condition=models.Q(("fee__lte", models.F("fare"))), name="leg_fee_within_fare"
                    ),
                ],
            },
        ),
    ]
