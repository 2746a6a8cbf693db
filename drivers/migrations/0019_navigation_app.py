from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("drivers", "0018_documents"),
    ]

    operations = [
        migrations.AddField(
            model_name="driver",
            name="navigation_app",
            field=models.CharField(
                choices=[
                    ("2gis", "2GIS"),
                    ("yandex", "Yandex Maps"),
                    ("google", "Google Maps"),
                    ("apple", "Apple Maps"),
                    ("waze", "Waze"),
                ],
                db_default="google",
                default="google",
                max_length=8,
                verbose_name="navigation app",
            ),
        ),
    ]
