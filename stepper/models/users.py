"""People who sign in: their names, rights, ratings and what their sessions are bound to."""

from collections.abc import Collection
from typing import Any, ClassVar

from django.contrib.auth import hashers
from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.contrib.auth.models import PermissionsMixin
from django.contrib.auth.password_validation import validate_password
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models, router, transaction
from django.db.models import Exists, OuterRef, Q
from django.db.models.functions import Lower
from django.dispatch import Signal
from django.utils import timezone
from django.utils.functional import cached_property
from django.utils.translation import gettext_lazy as _
from phonenumber_field.modelfields import PhoneNumberField

from stepper import languages
from stepper.errors import NotPermitted
from stepper.texts import PlainTextField

from .settings import ServiceSettings

# Sent in the transaction that changes what somebody's sessions are worth or may do: `user_ids`, `fields`, `using`.
rights_changed = Signal()
RIGHTS = frozenset({"password", "session_binding", "is_active", "is_staff", "is_superuser"})
# Sent in the transaction that changes these or rights: `changes`, each user's fields with the values before and after;
# `using`.
account_changed = Signal()
# Sent in the transaction that takes away everything by which an account was opened: `user_id`.
credentials_removed = Signal()
WATCHED = RIGHTS | {"email", "phone", "max_overlapping_trips"}
# Types of allauth's authenticators that are one; recovery codes stand in for them.
SECOND_FACTORS = ("totp", "webauthn")


class Theme(models.TextChoices):
    """The colours of the pages."""

    SYSTEM = "system", _("As on the device")
    LIGHT = "light", _("Light")
    DARK = "dark", _("Dark")


class UserQuerySet(models.QuerySet["User"]):
    def update(self, **values: Any) -> int:
        """Update as Django does, and send `rights_changed` for those whose rights may have changed."""
        if "phone" in values:
            values.setdefault("phone_verified_at", None)
        fields = WATCHED & values.keys()
        if not fields:
            return super().update(**values)
        with transaction.atomic(using=self.db):
            before = {row["pk"]: row for row in self.order_by().values("pk", *fields)}
            updated = super().update(**values)
            if rights := RIGHTS & fields:
                rights_changed.send(User, user_ids=list(before), fields=rights, using=self.db)
            after = User._base_manager.using(self.db).filter(pk__in=before).values("pk", *fields)
            _send_changes({row["pk"]: (before[row["pk"]], row) for row in after}, fields, self.db)
        return updated

    update.alters_data = True  # type: ignore[attr-defined]

    def with_demanded_factor(self) -> "UserQuerySet":
        """Leave out those without a second factor where the settings demand one of staff."""
        demanded = ServiceSettings.objects.using(self.db).filter(staff_second_factor=True)
        own = User._base_manager.using(self.db).filter(pk=OuterRef("pk"), authenticator__type__in=SECOND_FACTORS)
        return self.filter(~Exists(demanded) | Exists(own))


def _send_changes(rows: dict[int, tuple[dict[str, Any], dict[str, Any]]], fields: Collection[str], using: str) -> None:
    """Send `account_changed` for the users whose row differs before and after."""
    changes = {
        pk: {name: (before[name], after[name]) for name in sorted(fields) if before[name] != after[name]}
        for pk, (before, after) in rows.items()
    }
    changes = {pk: changed for pk, changed in changes.items() if changed}
    if changes:
        account_changed.send(User, changes=changes, using=using)


def short_name(name: str) -> str:
    """Shorten a full name to what a stranger sees: "Daniyar Seitkali" to "Daniyar S."."""
    first, _space, rest = name.strip().partition(" ")
    return f"{first} {rest.strip()[0]}." if rest.strip() else first


def initials(name: str) -> str:
    """Return the first letters of the first two words, in capitals."""
    return "".join(word[0] for word in name.split()[:2]).upper()


class UserManager(BaseUserManager["User"]):
    def get_queryset(self) -> UserQuerySet:
        return UserQuerySet(self.model, using=self._db)

    def lock_active(self, user_id: int) -> "User":
        """Lock and return an account's row before something is stored for it.

        The request's own user was read before: meanwhile the account may have been deleted, and would be filled again.

        Raises:
            NotPermitted: account.inactive
        """
        user = self.get_queryset().select_for_update(no_key=True).get(pk=user_id)
        user.require_active()
        return user

    def create_user(self, email: str | None = None, password: str | None = None, **fields: Any) -> "User":
        user = self.model(email=email or None, **fields)
        user.set_password(password)
        user.save(using=self._db)
        return user

    def create_superuser(self, email: str | None = None, password: str | None = None, **fields: Any) -> "User":
        """Create staff with every right; `createsuperuser` asks for the password, or takes it from the environment.

        Raises:
            ValidationError: the password breaks the rules
        """
        if password is not None:
            validate_password(password, self.model(email=email, **fields))
        return self.create_user(email, password, is_staff=True, is_superuser=True, **fields)


class User(AbstractBaseUser, PermissionsMixin):
    """Somebody who signs in by e-mail or phone: a passenger, a driver (has a `driver` row) or staff."""

    email = models.EmailField(_("e-mail"), unique=True, null=True, blank=True)
    phone = PhoneNumberField(_("phone"), unique=True, null=True, blank=True)
    # When a code first proved that the number is this person's; None: anybody may have entered it. Whatever changes the
    # number ends it.
    phone_verified_at = models.DateTimeField(_("phone verified"), null=True, blank=True, editable=False)
    # Of the release before, whose servers insert it; what it says counts no more. Take it out in the next one.
    phone_verified = models.BooleanField(default=False, db_default=False, editable=False)
    name = PlainTextField(_("name"), max_length=80)
    language = models.CharField(
        _("language"), max_length=2, default=languages.SOURCE, choices=list(languages.NAMES.items())
    )
    theme = models.CharField(
        _("colours"), max_length=6, choices=Theme.choices, default=Theme.SYSTEM, db_default=Theme.SYSTEM
    )
    is_staff = models.BooleanField(_("staff"), default=False)
    is_active = models.BooleanField(_("active"), default=True)
    date_joined = models.DateTimeField(_("joined"), default=timezone.now)
    # None: the service settings apply.
    max_overlapping_trips = models.PositiveIntegerField(
        _("trips at the same time"),
        null=True,
        blank=True,
        validators=[MinValueValidator(1), MaxValueValidator(1_000_000)],
        help_text=_(
            "For a hotel or a company: so many at once for one traveller and in all, as many waiting for a driver, "
            "as many cancelled late in a day. Empty: as in the settings."
        ),
    )
    # Where the stored hash was upgraded at a sign-in, or all sessions were ended: "<what sessions would be bound to by
    # the password>$<what they are bound to>". It counts for that hash only, so whatever changes the password ends the
    # sessions.
    session_binding = models.CharField(max_length=160, default="", db_default="", blank=True, editable=False)
    # The kinds of pushes that the user does not want, with spaces between (realtime.push.subscriptions.Topic).
    push_muted = models.CharField(max_length=100, default="", db_default="", blank=True, editable=False)
    # The kinds of notifications that the user wants by e-mail, likewise, and whether they want an SMS of what a trip
    # hangs on (realtime.delivery.choices).
    mail_topics = models.CharField(max_length=100, default="", db_default="", blank=True, editable=False)
    wants_trip_sms = models.BooleanField(default=False, db_default=False, editable=False)
    # What drivers gave this passenger; the average is never stored.
    rating_sum = models.PositiveIntegerField(default=0, editable=False)
    rating_count = models.PositiveIntegerField(default=0, editable=False)

    objects: ClassVar[UserManager] = UserManager()

    USERNAME_FIELD = "email"
    REQUIRED_FIELDS = ["name"]

    class Meta:
        verbose_name = _("user")
        verbose_name_plural = _("users")
        # Beside those of Django. Whoever has one still enters the password once more.
        permissions = [
            ("assign_role", "Can give and take roles of staff"),
            ("export_person", "Can export a person's data"),
            ("erase_person", "Can erase a person"),
        ]
        constraints = [
            models.UniqueConstraint(Lower("email"), name="user_email_unique_ci"),
            models.CheckConstraint(
                condition=Q(email__isnull=False) | Q(phone__isnull=False), name="user_email_or_phone"
            ),
        ]

    def clean(self) -> None:
        super().clean()
        # Two people without an address must not collide on "".
        self.email = UserManager.normalize_email(self.email).lower() or None if self.email else None

    def save(self, *args: Any, **kwargs: Any) -> None:
        self.email = self.email.lower() if self.email else None
        self.phone = self.phone or None
        update_fields = kwargs.get("update_fields")
        fields = WATCHED if update_fields is None else WATCHED & set(update_fields)
        if self._state.adding or not fields:
            super().save(*args, **kwargs)
            return
        using = kwargs.get("using") or router.db_for_write(User, instance=self)
        with transaction.atomic(using=using):
            # Compared with the stored row: what this object was read as may be old.
            rows = User._base_manager.using(using).select_for_update(no_key=True).filter(pk=self.pk)
            stored = rows.values(*sorted(fields), "phone_verified_at").first()
            if stored is not None and "phone" in fields and stored["phone"] != self.phone:
                # It was the old number that was verified, unless the new one was just now.
                if self.phone_verified_at == stored["phone_verified_at"]:
                    self.phone_verified_at = None
                if update_fields is not None:
                    kwargs["update_fields"] = {*update_fields, "phone_verified_at"}
            super().save(*args, **kwargs)
            if stored is None:
                return
            new = {name: getattr(self, name) for name in fields}
            changed = {name for name in RIGHTS & fields if stored[name] != new[name]}
            if changed:
                rights_changed.send(User, user_ids=[self.pk], fields=changed, using=using)
            _send_changes({self.pk: (stored, new)}, fields, using)

    def check_password(self, raw_password: str | None) -> bool:
        """Check as Django does; when that upgrades the stored hash, the password is the same and sessions go on."""
        return hashers.check_password(raw_password, self.password, self._upgrade_hash)

    def _upgrade_hash(self, raw_password: str | None) -> None:
        old, kept = self.password, self.get_session_auth_hash()
        upgraded = User(pk=self.pk, password=hashers.make_password(raw_password))
        binding = f"{upgraded.get_session_auth_hash()}${kept}"
        # Filtered by the old hash: a password that is set at this moment must not be overwritten.
        rows = User._base_manager.filter(pk=self.pk, password=old)
        if rows.update(password=upgraded.password, session_binding=binding):
            self.password, self.session_binding = upgraded.password, binding

    def bind_sessions_to(self, text: str) -> None:
        """Store what sessions are bound to from now on; those that are bound to something else have ended."""
        self.session_binding = f"{super()._get_session_auth_hash()}${text}"  # type: ignore[misc]
        self.save(update_fields=["session_binding"])

    def _get_session_auth_hash(self, secret: Any = None) -> str:
        """Return what sessions are bound to."""
        of_password: str = super()._get_session_auth_hash(secret)  # type: ignore[misc]
        now, _dollar, kept = self.session_binding.partition("$")
        return kept if kept and now == of_password else of_password

    def __str__(self) -> str:
        return self.name or self.email or str(self.phone)

    @classmethod
    def by_email(cls, email: str) -> "User | None":
        """Find the account of an address in whatever case it is written."""
        return cls.objects.filter(email=email.lower()).first()

    def get_full_name(self) -> str:
        return self.name

    @property
    def short_name(self) -> str:
        """ "Daniyar S.": what a stranger on the same trip sees."""
        return short_name(self.name)

    @cached_property
    def lacks_second_factor(self) -> bool:
        """Whether the settings demand a second factor of staff and this member of staff has none: no right counts.

        Asked of the database once for each object, as Django keeps permissions; of people who are not staff never.
        """
        if not (self.is_staff or self.is_superuser):
            return False
        rows = UserQuerySet(User, using=self._state.db).filter(pk=self.pk)
        return not rows.with_demanded_factor().exists()

    def require_active(self) -> None:
        """Raise NotPermitted (account.inactive) where the account was deleted or staff have closed it."""
        if not self.is_active:
            raise NotPermitted("account.inactive", _("Your account is not active."))

    def require_staff(self, permission: str) -> None:
        """Raise NotPermitted (auth.forbidden) for anybody but staff whom the admin gives this permission."""
        if not (self.is_staff and self.has_perm(permission)):
            raise NotPermitted("auth.forbidden", _("Only staff can do this."))

    @property
    def has_verified_phone(self) -> bool:
        """Whether a code has proved that the number is theirs."""
        return bool(self.phone) and self.phone_verified_at is not None

    @property
    def may_act_as_staff(self) -> bool:
        """Whether they are staff whose rights count; what asks for `is_staff` alone asks for this."""
        return self.is_staff and not self.lacks_second_factor

    def has_perm(self, perm: str, obj: Any = None) -> bool:
        """Answer as Django does; no for staff who lack the second factor that is demanded of them."""
        return not self.lacks_second_factor and super().has_perm(perm, obj)

    def has_module_perms(self, app_label: str) -> bool:
        """Answer as Django does; no for staff who lack the second factor that is demanded of them."""
        return not self.lacks_second_factor and super().has_module_perms(app_label)

    @property
    def may_see_trips(self) -> bool:
        """Whether they see everybody's trips and where all drivers are, wherever the admin lets them see trips."""
        return self.is_staff and self.has_perm("trips.view_trip")

    @property
    def may_steer_trips(self) -> bool:
        """Whether they do with everybody's trips what the admin lets them do."""
        return self.is_staff and self.has_perm("trips.change_trip")

    @property
    def offered_language(self) -> str:
        """The language to write to them in: theirs, or English where that has no catalogue."""
        return languages.offered_or_source(self.language)

    @property
    def initials(self) -> str:
        return initials(self.name)

    @property
    def rating(self) -> float | None:
        """Average of the stars received, one decimal; None: nobody has rated them yet ("new")."""
        return round(self.rating_sum / self.rating_count, 1) if self.rating_count else None
