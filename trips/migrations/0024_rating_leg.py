from django.db import migrations, models


# Apart from the trips: who reads both would wait for one while holding the other, in a circle with the migration.
class Migration(migrations.Migration):
    dependencies = [("trips", "0023_legs")]

    operations = [
        migrations.AddField(
            model_name="rating",
            name="leg",
            field=models.PositiveSmallIntegerField(db_default=0, default=0, verbose_name="leg"),
        ),
    ]
