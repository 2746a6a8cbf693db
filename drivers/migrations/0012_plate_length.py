from django.db import migrations, models


class Migration(migrations.Migration):
    """Make room for the suffix of a plate that had been entered twice."""

    dependencies = [("drivers", "0011_driver_metrics")]

    operations = [
        migrations.AlterField(
            model_name="vehicle",
            name="plate",
            field=models.CharField(max_length=20, unique=True, verbose_name="plate"),
        ),
    ]
