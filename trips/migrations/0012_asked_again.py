from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("trips", "0011_completed_of_driver")]

    operations = [
        migrations.AddField(
            model_name="offer",
            name="asked_again",
            field=models.BooleanField(db_default=False, default=False, verbose_name="asked again"),
        ),
    ]
