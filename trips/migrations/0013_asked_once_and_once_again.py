from django.db import migrations, models

from stepper.db.operations import AddUniqueIndexConcurrently


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("trips", "0012_asked_again")]

    operations = [
        AddUniqueIndexConcurrently(
            "offer",
            models.UniqueConstraint(
                condition=models.Q(("asked_again", False)),
                fields=("trip", "driver", "round_number"),
                name="offer_asked_once_a_round",
            ),
        ),
        AddUniqueIndexConcurrently(
            "offer",
            models.UniqueConstraint(
                condition=models.Q(("asked_again", True)),
                fields=("trip", "driver", "round_number"),
                name="offer_asked_again_once_a_round",
            ),
        ),
        migrations.RemoveConstraint(model_name="offer", name="offer_once_a_round"),
    ]

    upgrade_reasons = {
        "offer.offer_asked_once_a_round": "The last release leaves asked_again false, so it means to it what its own "
        "constraint meant.",
        "offer.offer_asked_again_once_a_round": "The last release leaves asked_again false.",
        "offer.offer_once_a_round": "The last release judges a driver under the locks of driver and trip and never "
        "tries to ask twice.",
    }
