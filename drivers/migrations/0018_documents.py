import django.core.validators
import django.db.models.deletion
import django.db.models.functions.datetime
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    """Keep applications to drive, and pictures of documents."""

    dependencies = [
        ("drivers", "0017_availability_at"),
        ("stepper", "0016_staff_second_factor"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="DriverApplication",
            fields=[
                (
                    "user",
                    models.OneToOneField(
                        db_constraint=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="driver_application",
                        serialize=False,
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "licence_number",
                    models.CharField(blank=True, default="", max_length=32, verbose_name="licence number"),
                ),
                ("make", models.CharField(blank=True, default="", max_length=40, verbose_name="make")),
                ("model", models.CharField(blank=True, default="", max_length=40, verbose_name="model")),
                ("colour", models.CharField(blank=True, default="", max_length=30, verbose_name="colour")),
                ("plate", models.CharField(blank=True, default="", max_length=20, verbose_name="plate")),
                ("year", models.PositiveSmallIntegerField(blank=True, null=True, verbose_name="year")),
                (
                    "vehicle_class",
                    models.CharField(
                        choices=[("sedan", "Sedan"), ("suv", "SUV"), ("van", "Van"), ("bus", "Bus")],
                        default="sedan",
                        max_length=8,
                        verbose_name="class",
                    ),
                ),
                (
                    "seats",
                    models.PositiveSmallIntegerField(
                        default=4,
                        validators=[
                            django.core.validators.MinValueValidator(1),
                            django.core.validators.MaxValueValidator(60),
                        ],
                        verbose_name="passenger seats",
                    ),
                ),
                ("consent_at", models.DateTimeField(blank=True, null=True, verbose_name="agreed")),
                ("submitted_at", models.DateTimeField(blank=True, null=True, verbose_name="sent")),
                ("updated_at", models.DateTimeField(auto_now=True, verbose_name="changed")),
            ],
            options={
                "verbose_name": "application",
                "verbose_name_plural": "applications",
            },
        ),
        migrations.CreateModel(
            name="DriverDocument",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("licence", "Driving licence"),
                            ("insurance", "Insurance"),
                            ("inspection", "Technical inspection"),
                            ("taxi_licence", "Licence for taxi work"),
                            ("photo", "Photo of you"),
                        ],
                        max_length=16,
                        verbose_name="kind",
                    ),
                ),
                (
                    "status",
                    models.CharField(
                        choices=[
                            ("pending", "Being checked"),
                            ("accepted", "Accepted"),
                            ("rejected", "Rejected"),
                            ("replaced", "Replaced"),
                        ],
                        default="pending",
                        max_length=10,
                        verbose_name="status",
                    ),
                ),
                ("reason", models.CharField(blank=True, default="", max_length=200, verbose_name="reason")),
                ("expires_on", models.DateField(blank=True, null=True, verbose_name="valid until")),
                ("content", models.BinaryField()),
                ("size", models.PositiveIntegerField(verbose_name="bytes")),
                (
                    "uploaded_at",
                    models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), verbose_name="sent"),
                ),
                ("reviewed_at", models.DateTimeField(blank=True, null=True, verbose_name="checked")),
                ("ended_at", models.DateTimeField(blank=True, null=True, verbose_name="ended")),
                (
                    "owner",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="driver_documents",
                        to=settings.AUTH_USER_MODEL,
                        verbose_name="owner",
                    ),
                ),
                (
                    "reviewed_by",
                    models.ForeignKey(
                        blank=True,
                        db_constraint=False,
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                        verbose_name="checked by",
                    ),
                ),
            ],
            options={
                "verbose_name": "document",
                "verbose_name_plural": "documents",
                "indexes": [models.Index(fields=["owner", "kind"], name="document_of_owner")],
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("status", "pending")), fields=("owner", "kind"), name="document_one_pending"
                    ),
                    models.UniqueConstraint(
                        condition=models.Q(("status", "accepted")),
                        fields=("owner", "kind"),
                        name="document_one_accepted",
                    ),
                ],
            },
        ),
    ]
