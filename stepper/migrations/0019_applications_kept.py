import django.core.validators
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("stepper", "0018_boarding_apart"),
    ]

    operations = [
        migrations.AddField(
            model_name="servicesettings",
            name="applications_kept_days",
            field=models.PositiveIntegerField(
                db_default=90,
                default=90,
                help_text="Of people who began to apply as drivers: what they entered, from the last change, and documents.",
                validators=[
                    django.core.validators.MinValueValidator(1),
                    django.core.validators.MaxValueValidator(3650),
                ],
                verbose_name="applications never sent kept, days",
            ),
        ),
    ]
