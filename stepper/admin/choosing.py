"""Choosing a row in the administration by searching for it, instead of from a list of all."""

from typing import Any

from django import forms
from django.contrib.admin import site
from django.contrib.admin.widgets import AutocompleteSelect, AutocompleteSelectMultiple
from django.utils.translation import gettext as _

from stepper.admin.searching import KEY_DIGITS


class _Named:
    """Mixin: the box that stands for a select has no label of its own, so its placeholder names it."""

    def build_attrs(self, base_attrs: Any, extra_attrs: Any = None) -> dict[str, Any]:
        attrs: dict[str, Any] = super().build_attrs(base_attrs, extra_attrs)  # type: ignore[misc]
        return {**attrs, "data-placeholder": _("Search…")}


class SearchSelect(_Named, AutocompleteSelect):
    def optgroups(self, name: str, value: Any, attr: Any = None) -> Any:
        """Leave out what is no key: the form refuses it, and the list of choices must not fail on it."""
        keys = [one for one in value if str(one).isdecimal() and len(str(one)) <= KEY_DIGITS]
        return super().optgroups(name, keys, attr)


def choose_by_search(form: forms.Form, name: str, db_field: Any) -> None:
    """Have a form's choice of a row made by searching for it, among the rows that `db_field` offers.

    Called when the form is made, not where its class is: the site has to know the row's own page by then.
    """
    widget = SearchSelect(db_field, site)
    widget.choices = form.fields[name].choices  # type: ignore[attr-defined]
    form.fields[name].widget = widget


class SearchSelectMultiple(_Named, AutocompleteSelectMultiple):
    pass
