"""People, groups and the service's settings in the admin."""

from typing import Any, cast

import allauth.account.admin  # noqa: F401 (registers what is unregistered below)
import django_tasks_db.admin  # noqa: F401 (likewise)
from allauth.account.models import EmailAddress
from allauth.core import context
from django import forms
from django.contrib import admin, messages
from django.contrib.admin.utils import unquote
from django.contrib.auth import REDIRECT_FIELD_NAME
from django.contrib.auth.admin import GroupAdmin as DjangoGroupAdmin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.models import Group, Permission
from django.contrib.auth.views import PasswordChangeView, redirect_to_login
from django.core.exceptions import PermissionDenied
from django.db.models import Count, QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.html import format_html
from django.utils.translation import gettext_lazy as _
from django_tasks_db.models import DBTaskResult
from unfold.decorators import action, display
from unfold.enums import ActionVariant
from unfold.forms import AdminOwnPasswordChangeForm, AdminPasswordChangeForm, UserChangeForm, UserCreationForm

from stepper.accounts import addresses, codes, second_factor, sessions, sign_in
from stepper.accounts.devices import describe_device
from stepper.accounts.erasing import erased_address
from stepper.accounts.staff import may_change
from stepper.admin import searching
from stepper.admin.base import COLOURS, HistoryAdmin, Label, staff_action
from stepper.admin.confirmed import ConfirmedAdmin, require_staff_confirmed
from stepper.admin.roles import GivesRoles, GroupForm, RoleGroups, RolesOfAccounts
from stepper.admin.second_factor import lead_to_set_up
from stepper.errors import DomainError
from stepper.models import AccountSession, User
from stepper.personal.erasure import ERASE, erase_person
from stepper.personal.export import EXPORT, export_person
from stepper.roles import role_of_group
from stepper.web.downloads import File, file_response


class SignsInSomehow(forms.ModelForm):
    """Mixin: an e-mail address or a phone number is needed, and the message stands at the field."""

    def clean(self) -> dict[str, Any]:
        data: dict[str, Any] = super().clean() or self.cleaned_data
        if not data.get("email") and not data.get("phone") and not self.errors.keys() & {"email", "phone"}:
            self.add_error("email", _("Give an e-mail address or a phone number."))
        return data


class StaffUserCreationForm(SignsInSomehow, UserCreationForm):
    usable_password = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["password1"].required = self.fields["password2"].required = True

    class Meta:
        model = User
        fields = ["name", "email", "phone", "language"]


class StaffUserChangeForm(GivesRoles, SignsInSomehow, UserChangeForm):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "password" in self.fields:
            link = format_html('<a class="text-link underline" href="../password/">{}</a>', _("Set a new one"))
            self.fields["password"].help_text = format_html("{} {}.", _("Nobody can read it."), link)

    class Meta:
        model = User
        fields = [
            "name",
            "email",
            "phone",
            "language",
            "password",
            "max_overlapping_trips",
            "is_active",
            "is_staff",
            "is_superuser",
            "groups",
            "user_permissions",
        ]
        field_classes: dict[str, Any] = {}


class OwnPasswordChangeForm(AdminOwnPasswordChangeForm):
    """Staff change their own password. The old one is asked for with the limits of signing in."""

    def clean_old_password(self) -> str:
        """Check the present password. Raises TooManyRequests: a stolen session must not try passwords."""
        password: str = self.cleaned_data["old_password"]
        if not sign_in.check_password(context.request, self.user, password):
            raise forms.ValidationError(self.error_messages["password_incorrect"], code="password_incorrect")
        return password


def change_own_password(request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponseBase:
    view = PasswordChangeView.as_view(
        form_class=OwnPasswordChangeForm,
        success_url=reverse("admin:password_change_done"),
        extra_context={**admin.site.each_context(request), **(extra_context or {})},
    )
    return view(request)


def lead_to_sign_in(request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponseBase:
    """Redirect to the site's sign-in: the administration has none of its own, which would have no limits."""
    if request.user.is_authenticated:
        if request.user.is_staff and request.user.lacks_second_factor:
            return lead_to_set_up(request)
        if not admin.site.has_permission(request):
            raise PermissionDenied
        return HttpResponseRedirect(reverse("admin:index"))
    return redirect_to_login(request.GET.get(REDIRECT_FIELD_NAME) or reverse("admin:index"))


admin.site.login = lead_to_sign_in  # type: ignore[assignment,method-assign]
admin.site.password_change = change_own_password  # type: ignore[assignment,method-assign]
admin.site.unregister(Group)
# The address is a column of the user; allauth's table of addresses is not to be edited beside it.
admin.site.unregister(EmailAddress)
# A row that is sealed says nothing that staff need, and its traceback is not theirs to read.
admin.site.unregister(DBTaskResult)


class MembersFilter(admin.EmptyFieldListFilter):
    """Filters by a relation, which has no name of its own that could be translated."""

    name: Any = _("members")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.title = self.name


class DriverFilter(MembersFilter):
    name = _("driver")


@admin.register(Group)
class GroupAdmin(RoleGroups, DjangoGroupAdmin, ConfirmedAdmin):
    form = GroupForm
    filter_horizontal = []
    autocomplete_fields = ["permissions"]
    list_display = ["title", "members"]
    list_filter = [("user", MembersFilter)]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Group]:
        return super().get_queryset(request).annotate(members=Count("user"))

    @display(description=_("members"), ordering="members")
    def members(self, group: Group) -> int:
        members: int = group.members  # type: ignore[attr-defined]
        return members

    # Whoever could change a group could give it, and so themselves, every permission.
    def has_add_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.is_superuser)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        is_own = obj is None or role_of_group(obj) is None
        return is_own and bool(request.user.is_superuser) and super().has_change_permission(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        is_own = obj is None or role_of_group(obj) is None
        return is_own and bool(request.user.is_superuser)


@admin.register(Permission)
class PermissionAdmin(HistoryAdmin):
    """Only what the search for permissions of a group or user needs; not listed."""

    list_select_related = ["content_type"]
    search_fields = ["name", "codename", "content_type__app_label"]
    ordering = ["content_type__app_label", "codename"]

    def has_module_permission(self, request: HttpRequest) -> bool:
        return False

    def get_queryset(self, request: HttpRequest) -> QuerySet[Permission]:
        return super().get_queryset(request).select_related("content_type")


@admin.register(User)
class UserAdmin(RolesOfAccounts, DjangoUserAdmin, ConfirmedAdmin):  # type: ignore[misc]  # get_form has no `change` there
    form = StaffUserChangeForm
    add_form = StaffUserCreationForm
    change_password_form = AdminPasswordChangeForm
    list_display = ["name", "email", "phone", "role", "rating_shown", "is_active", "date_joined"]
    list_display_links = ["name", "email", "phone"]
    list_filter = ["is_active", "is_staff", "is_superuser", ("driver", DriverFilter), "language"]
    list_select_related = ["driver"]
    search_fields = ["=id", *searching.person()]
    ordering = ["-date_joined", "-pk"]
    date_hierarchy = "date_joined"
    readonly_fields = ["rating_shown", "phone_verified_at", "last_login", "date_joined"]
    filter_horizontal = []
    autocomplete_fields = ["groups", "user_permissions"]
    actions = ["end_sessions"]
    actions_detail = ["end_sessions", "remove_second_factor", "export_data", "erase_data"]
    fieldsets = [
        (None, {"fields": ["name", "email", "phone", "phone_verified_at", "language", "password", "rating_shown"]}),
        (_("Booking"), {"fields": ["max_overlapping_trips"]}),
        (
            _("Permissions"),
            {"fields": ["is_active", "is_staff", "roles", "is_superuser", "groups", "user_permissions"]},
        ),
        (_("Dates"), {"fields": ["last_login", "date_joined"]}),
    ]
    add_fieldsets = [(None, {"fields": ["name", "email", "phone", "language", "password1", "password2"]})]

    @display(description=_("role"), label=COLOURS)
    def role(self, user: User) -> Label:
        if user.is_staff:
            return Label("primary", _("Staff"))
        return Label("info", _("Driver")) if hasattr(user, "driver") else Label("default", _("Passenger"))

    @display(description=_("rating as a passenger"))
    def rating_shown(self, user: User) -> Any:
        return _("new") if user.rating is None else f"{user.rating} ★ ({user.rating_count})"

    def get_readonly_fields(self, request: HttpRequest, obj: User | None = None) -> list[str]:
        # Whoever could give permissions could give themselves all of them.
        return [*self.readonly_fields, *self.fields_of_rights(request)]

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        staff = cast(User, request.user)
        # A colleague's password is a way into the colleague's permissions; the own one is changed on the account page.
        if isinstance(obj, User) and not staff.is_superuser and (obj.pk == staff.pk or not may_change(obj, staff)):
            return False
        return bool(super().has_change_permission(request, obj))

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return bool(request.user.is_superuser)

    def save_model(self, request: HttpRequest, obj: User, form: forms.ModelForm, change: bool) -> None:
        super().save_model(request, obj, form, change)
        if change:
            old_email = (form.initial.get("email") or "").lower()
            if "email" in form.changed_data and old_email != (obj.email or ""):
                addresses.tell_old_address(obj, old_email)

    @staff_action(
        _("Sign out everywhere"),
        done=_("signed out everywhere"),
        effect=_("Every device and program of theirs is signed out at once. Their password stays as it is."),
        icon="logout",
        variant=ActionVariant.DANGER,
        guard=require_staff_confirmed,
    )
    def end_sessions(self, user_id: int, staff: User) -> None:
        sessions.end_sessions_by_staff(user_id, staff)

    @staff_action(
        _("Remove two-step sign-in"),
        done=_("without two-step sign-in"),
        effect=_(
            "For somebody who has lost their phone and recovery codes, and has proved to you who they are: their "
            "password alone opens the account then. They are signed out everywhere."
        ),
        icon="phonelink_erase",
        variant=ActionVariant.DANGER,
        guard=require_staff_confirmed,
    )
    def remove_second_factor(self, user_id: int, staff: User) -> None:
        second_factor.remove_by_staff(user_id, staff)

    def log_change(self, request: HttpRequest, obj: User, message: Any) -> Any:
        """Log under the name that the account has now: an action may have erased the one that was read."""
        return super().log_change(request, User.objects.get(pk=obj.pk), message)

    def actions_for(self, obj: User) -> set[str]:
        erasable = obj.email != erased_address(obj.pk)
        return {
            *("end_sessions", "export_data"),
            *(["remove_second_factor"] if codes.has_second_factor(obj) else []),
            *(["erase_data"] if erasable else []),
        }

    def has_export_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return bool(request.user.has_perm(EXPORT))

    def has_erase_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return bool(request.user.has_perm(ERASE))

    @action(description=_("Export data"), icon="download", permissions=["export"])
    def export_data(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Say what the file has in it, then hand it out, for somebody who has asked for it."""
        require_staff_confirmed(request)
        user = self.get_object(request, unquote(object_id))
        if user is None:
            raise Http404
        if request.method == "POST":
            try:
                content = export_person(cast(User, request.user), user.pk)
            except DomainError as error:
                messages.error(request, " ".join(map(str, error.reasons)))
                return HttpResponseRedirect(reverse("admin:stepper_user_change", args=[user.pk]))
            return file_response(File(f"steppergo-person-{user.pk}.json", "application/json", content))
        effect = _(
            "A file with everything that is held about them, as they get it themselves. Hand it to them only, and only "
            "after they have proved who they are. That you made it is logged."
        )
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": _("Export data"),
            "rows": [user],
            "effect": effect,
            "warnings": [],
            "form": forms.Form(),
            "media": self.media,
            "danger": False,
            "action": None,
            "subtitle": None,
            "back": reverse("admin:stepper_user_change", args=[user.pk]),
        }
        return TemplateResponse(request, "admin/staff_action.html", context)

    @staff_action(
        _("Erase"),
        done=_("erased"),
        effect=_(
            "For somebody who has asked for it and proved to you who they are. Their name, phone, e-mail, messages and "
            "documents go for good; trips stay without their name. It cannot be undone."
        ),
        icon="person_remove",
        variant=ActionVariant.DANGER,
        permission="erase",
        guard=require_staff_confirmed,
    )
    def erase_data(self, user_id: int, staff: User) -> None:
        erase_person(staff, user_id)

    def user_change_password(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        require_staff_confirmed(request)
        response: HttpResponse = super().user_change_password(request, *args, **kwargs)
        if isinstance(response, TemplateResponse) and response.context_data:
            response.context_data["title"] = _("Password of %(user)s") % {"user": response.context_data["original"]}
        return response


@admin.register(AccountSession)
class AccountSessionAdmin(HistoryAdmin):
    """Where somebody is signed in; what would open the session is not shown."""

    fields = ["user", "device", "is_program", "address", "user_agent", "signed_in_at", "last_seen_at"]
    list_display = ["user", "device", "address", "signed_in_at", "last_seen_at"]
    list_filter = ["is_program", "signed_in_at", "last_seen_at"]
    list_select_related = ["user"]
    search_fields = ["=user__id", *searching.person("user"), "address"]
    ordering = ["-last_seen_at", "-pk"]

    @display(description=_("device"))
    def device(self, row: AccountSession) -> str:
        return describe_device(row.user_agent, is_program=row.is_program)
