"""Each model and each field is declared: what the audit log tells of it, or why nothing."""

import pytest
from django.apps import apps
from django.contrib import admin
from django.db.models import ForeignKey, Model

from drivers.models import Driver
from stepper.audit.registry import NOT_WATCHED, SHOWN, WATCHED, shows_people
from stepper.models import User
from trips.models import Trip

pytestmark = pytest.mark.embedded_only

MODELS = {model._meta.label_lower: model for model in apps.get_models(include_auto_created=True)}


def test_every_model_is_watched_or_has_a_reason_for_not_being() -> None:
    assert WATCHED.keys().isdisjoint(NOT_WATCHED)
    assert MODELS.keys() == WATCHED.keys() | NOT_WATCHED.keys()


@pytest.mark.parametrize("label", WATCHED)
def test_every_field_stands_in_one_list(label: str) -> None:
    watched, fields = WATCHED[label], {field.name for field in MODELS[label]._meta.concrete_fields}
    keys = {field.name for field in MODELS[label]._meta.concrete_fields if field.primary_key}
    if watched.tells_all:
        assert not watched.told
        assert watched.quiet | watched.personal <= fields
        return
    lists = [watched.told, watched.personal, watched.quiet]
    assert sorted(name for one in lists for name in one) == sorted(set().union(*lists)), "in two lists"
    assert set().union(*lists) >= fields - keys, "declare them in stepper/audit/registry.py"
    assert set().union(*lists) <= fields


def names_people(model: type[Model]) -> bool:
    fields = [field for field in model._meta.concrete_fields if isinstance(field, ForeignKey)]
    return model in (User, Driver) or any(field.related_model in (User, Driver, Trip) for field in fields)


def test_whatever_page_of_the_administration_shows_people_says_whom() -> None:
    shown = [model for model in admin.site._registry if names_people(model) and not shows_people(model)]
    assert shown == []


@pytest.mark.parametrize("label", sorted({*SHOWN, *(name for name, one in WATCHED.items() if one.person)}))
@pytest.mark.django_db
def test_paths_to_people_exist(label: str) -> None:
    watched = WATCHED.get(label)
    paths = [*SHOWN.get(label, ()), *([watched.person, watched.key] if watched and watched.person else [])]
    assert list(MODELS[label]._base_manager.filter(pk=None).values_list(*filter(None, paths))) == []
