from django.db import migrations, models

from stepper.db.operations import AddUniqueIndexConcurrently


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("trips", "0024_rating_leg")]

    operations = [
        AddUniqueIndexConcurrently(
            "rating",
            models.UniqueConstraint(
                condition=models.Q(("leg", 0)), fields=("trip", "by"), name="rating_of_last_leg_once"
            ),
        ),
        AddUniqueIndexConcurrently(
            "rating",
            models.UniqueConstraint(
                condition=models.Q(("leg__gt", 0)), fields=("trip", "by", "leg"), name="rating_of_leg_once"
            ),
        ),
        migrations.RemoveConstraint(model_name="rating", name="rating_once_each"),
    ]

    upgrade_reasons = {
        "rating.rating_of_last_leg_once": "The last release leaves leg 0, so it means to it what its own constraint "
        "meant.",
        "rating.rating_of_leg_once": "The last release leaves leg 0.",
        "rating.rating_once_each": "The last release leaves leg 0, so it is kept from a second rating by "
        "rating_of_last_leg_once.",
    }
