"""What staff decided and when: of drivers, of documents, and the name that an applicant entered."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("drivers", "0021_documents_due"),
    ]

    operations = [
        migrations.RemoveField(
            model_name="driverdocument",
            name="size",
        ),
        migrations.AddField(
            model_name="driver",
            name="decided_at",
            field=models.DateTimeField(blank=True, null=True, verbose_name="decided"),
        ),
        migrations.AddField(
            model_name="driverapplication",
            name="name",
            field=models.CharField(blank=True, db_default="", default="", max_length=80, verbose_name="name"),
        ),
        migrations.AddField(
            model_name="driverdocument",
            name="accepted_at",
            field=models.DateTimeField(blank=True, null=True, verbose_name="accepted"),
        ),
    ]
