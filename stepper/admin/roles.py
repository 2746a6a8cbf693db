"""Roles on the page of a member of staff: giving and taking them; the groups of roles, which nobody changes."""

from typing import Any, cast

from allauth.core import context
from django import forms
from django.contrib import messages
from django.contrib.auth.models import Group
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _
from unfold.decorators import display
from unfold.widgets import UnfoldAdminCheckboxSelectMultipleWidget

from stepper.accounts import staff as staff_accounts
from stepper.errors import DomainError
from stepper.models import User
from stepper.roles import ASSIGN, BY_KEY, PREFIX, ROLES, role_of_group


def _choices() -> list[tuple[str, SafeString]]:
    return [(role.key, format_html("{}: {}", role.title, role.purpose)) for role in ROLES]


class GivesRoles(forms.ModelForm):
    """Mixin: roles beside the other groups, which the page of an account edits apart from them."""

    roles = forms.MultipleChoiceField(
        label=_("Roles"),
        choices=_choices,
        required=False,
        widget=UnfoldAdminCheckboxSelectMultipleWidget,
        help_text=_("What a colleague may do. Open pages follow at once."),
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "groups" in self.initial:
            held = self.initial["groups"]
            self.initial["groups"] = [one.pk for one in held if role_of_group(one) is None]
            self.initial["roles"] = [role.key for one in held if (role := role_of_group(one)) is not None]
        elif self.instance.pk:
            self.initial["roles"] = staff_accounts.roles_of(self.instance)

    def clean(self) -> dict[str, Any]:
        """Have the verb say whether these staff may leave the account so, before anything is written."""
        data: dict[str, Any] = super().clean() or self.cleaned_data
        if {"roles", "is_staff"} & set(self.changed_data) and "roles" in data:
            stored = User.objects.get(pk=self.instance.pk)
            try:
                staff_accounts.require_may_give(
                    stored, cast(User, context.request.user), roles=data["roles"], is_staff=data.get("is_staff", False)
                )
            except DomainError as error:
                self.add_error("roles", " ".join(error.reasons))
        return data

    def _save_m2m(self) -> None:
        """Store the other groups; the roles stay as they are, under the account's lock."""
        if "groups" in self.cleaned_data:
            User.objects.select_for_update(no_key=True).get(pk=self.instance.pk)
            held = self.instance.groups.filter(name__startswith=PREFIX)
            self.cleaned_data["groups"] = [*self.cleaned_data["groups"], *held]
        super()._save_m2m()  # type: ignore[misc]


class LostRight(Exception):
    """What was allowed when the form was checked is refused now; nothing is stored."""


class RolesOfAccounts:
    """Mixin of the page of accounts: the field for who may give roles, words for the others."""

    @display(description=_("roles"))
    def roles(self, user: User) -> Any:
        titles = [BY_KEY[key].title for key in staff_accounts.roles_of(user)]
        return format_html_join(", ", "{}", ((title,) for title in titles)) or "–"

    def fields_of_rights(self, request: HttpRequest) -> list[str]:
        """Name the fields by which rights are given that this member of staff may only read."""
        if request.user.is_superuser:
            return []
        own = [] if request.user.has_perm(ASSIGN) else ["is_staff", "roles"]
        return [*own, "is_superuser", "groups", "user_permissions"]

    def formfield_for_manytomany(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name == "groups":
            kwargs["queryset"] = Group.objects.exclude(name__startswith=PREFIX)
        return super().formfield_for_manytomany(db_field, request, **kwargs)  # type: ignore[misc]

    def save_related(self, request: HttpRequest, form: forms.ModelForm, formsets: Any, change: bool) -> None:
        super().save_related(request, form, formsets, change)  # type: ignore[misc]
        if change and "roles" in form.changed_data:
            try:
                staff_accounts.set_roles(form.instance.pk, cast(User, request.user), roles=form.cleaned_data["roles"])
            except DomainError as error:
                raise LostRight(" ".join(error.reasons)) from error

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        try:
            return super().changeform_view(request, object_id, form_url, extra_context)  # type: ignore[misc]
        except LostRight as error:
            messages.error(request, str(error))
            return HttpResponseRedirect(request.get_full_path())


class RoleGroups:
    """Mixin of the page of groups: those of roles are read there, and changed by the next release alone."""

    @display(description=_("name"), ordering="name")
    def title(self, group: Group) -> Any:
        role = role_of_group(group)
        return group.name if role is None else _("Role: %(title)s") % {"title": role.title}

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Group], search_term: str
    ) -> tuple[QuerySet[Group], bool]:
        """Find groups; where one is chosen for an account without those of roles, which have a field of their own."""
        found, has_doubles = super().get_search_results(request, queryset, search_term)  # type: ignore[misc]
        if request.resolver_match is not None and request.resolver_match.url_name == "autocomplete":
            found = found.exclude(name__startswith=PREFIX)
        return found, has_doubles


class GroupForm(forms.ModelForm):
    """A group of staff's own."""

    def clean_name(self) -> str:
        name: str = self.cleaned_data["name"]
        if name.startswith(PREFIX):
            raise forms.ValidationError(_("Names that begin so are those of roles."))
        return name
