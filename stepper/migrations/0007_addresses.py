import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models
from django.db.models import F
from django.db.models.functions import Lower


def drop_aliases(apps, schema_editor):
    """One address a user: what allauth's pages let people add beside it no longer signs in, and is removed."""
    User = apps.get_model("stepper", "User")
    EmailAddress = apps.get_model("account", "EmailAddress")
    User.objects.using(schema_editor.connection.alias).exclude(email=Lower("email")).update(email=Lower("email"))
    addresses = EmailAddress.objects.using(schema_editor.connection.alias)
    own = addresses.filter(email=F("user__email")).values("pk")
    addresses.exclude(pk__in=own).delete()


class Migration(migrations.Migration):
    dependencies = [
        ("stepper", "0006_limits"),
        ("account", "0009_emailaddress_unique_primary_email"),
    ]

    operations = [
        migrations.RunPython(drop_aliases, migrations.RunPython.noop),
        migrations.CreateModel(
            name="AddressChange",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("old_email", models.EmailField(blank=True, default="", max_length=254, verbose_name="old e-mail")),
                ("new_email", models.EmailField(max_length=254, verbose_name="new e-mail")),
                ("password_digest", models.CharField(max_length=64)),
                ("token_digest", models.CharField(max_length=64)),
                ("expires_at", models.DateTimeField(verbose_name="expires")),
                (
                    "user",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="address_change",
                        to=settings.AUTH_USER_MODEL,
                        verbose_name="user",
                    ),
                ),
            ],
            options={
                "verbose_name": "change of e-mail",
                "verbose_name_plural": "changes of e-mail",
            },
        ),
        migrations.CreateModel(
            name="AddressCode",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("email", models.EmailField(max_length=254, verbose_name="e-mail")),
                ("code_digest", models.CharField(max_length=64)),
                ("tries", models.PositiveSmallIntegerField(default=0, verbose_name="tries")),
                ("expires_at", models.DateTimeField(verbose_name="expires")),
                (
                    "user",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="address_code",
                        to=settings.AUTH_USER_MODEL,
                        verbose_name="user",
                    ),
                ),
            ],
            options={
                "verbose_name": "code by e-mail",
                "verbose_name_plural": "codes by e-mail",
            },
        ),
    ]
