from django.db import migrations, models

from stepper.db.operations import AddIndexConcurrently


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("trips", "0028_claims")]

    operations = [
        AddIndexConcurrently(
            "trip",
            models.Index(
                condition=models.Q(
                    (
                        "status__in",
                        [
                            "accepted",
                            "arrived",
                            "driver_arrived",
                            "en_route",
                            "in_transit",
                            "offered",
                            "passengers_boarded",
                            "published",
                            "unfilled",
                        ],
                    )
                ),
                fields=["departure_at"],
                name="trip_live",
            ),
        ),
    ]
