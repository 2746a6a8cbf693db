import django.core.validators
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("stepper", "0031_roles")]

    operations = [
        migrations.AddField(
            model_name="servicesettings",
            name="claim_kept_min",
            field=models.PositiveIntegerField(
                db_default=15,
                default=15,
                help_text="Then somebody else can take what nobody has solved. It ends at once when the matter is solved.",
                validators=[
                    django.core.validators.MinValueValidator(1),
                    django.core.validators.MaxValueValidator(240),
                ],
                verbose_name="a claim ends after, min",
            ),
        ),
        migrations.AddField(
            model_name="servicesettings",
            name="waiting_long_min",
            field=models.PositiveIntegerField(
                db_default=5,
                default=5,
                help_text="Such a trip is in the queue of the operations room, before staff are told that nobody takes it.",
                validators=[
                    django.core.validators.MinValueValidator(1),
                    django.core.validators.MaxValueValidator(120),
                ],
                verbose_name="waiting long for a driver is, min",
            ),
        ),
    ]
