"""Dates and times as they are typed, in the formats of all languages."""

import datetime as dt

import pytest
from django import forms
from django.conf import settings
from django.utils import timezone
from django.utils.translation import override

LANGUAGES = [code for code, _name in settings.LANGUAGES]
DAY = dt.date(2027, 12, 31)


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize(
    "typed", ["31.12.2027", "31.12.27", "2027-12-31", "31/12/2027", "31-12-2027", "31 Dec 2027", "31 December 2027"]
)
def test_dates_are_taken_as_people_write_them(language: str, typed: str) -> None:
    with override(language):
        assert forms.DateField().clean(typed) == DAY
        at = forms.DateTimeField().clean(f"{typed} 9:05")
        assert timezone.localtime(at).replace(tzinfo=None) == dt.datetime(2027, 12, 31, 9, 5)  # noqa: DTZ001


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("typed", ["09:05", "9:05", "9.05", "09:05:00"])
def test_times_are_taken_as_people_write_them(language: str, typed: str) -> None:
    with override(language):
        assert forms.TimeField().clean(typed) == dt.time(9, 5)


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_day_comes_before_the_month(language: str) -> None:
    with override(language):
        assert forms.DateField().clean("01.02.2027") == forms.DateField().clean("1/2/2027") == dt.date(2027, 2, 1)


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_value_that_a_field_shows_is_taken_back(language: str) -> None:
    with override(language):
        for field, value in ((forms.DateField(), DAY), (forms.TimeField(), dt.time(9, 5))):
            assert field.clean(field.widget.format_value(value)) == value
