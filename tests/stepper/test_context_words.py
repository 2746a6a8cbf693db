"""Passwords made of this service's own words are refused, sentences that contain them are not."""

from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as project
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError

from stepper.accounts.context_words import WORDS

# No database or Redis plays a part.
pytestmark = pytest.mark.embedded_only


@pytest.mark.parametrize(
    "password",
    ["SteppergoSteppergo", "stepper-go 2026!", "Driver.Almaty.1", "taxi taxi taxi", "ТАКСИ-Алматы-77", "Citycab2026!!"],
)
def test_password_of_the_services_words_is_refused(settings: Any, password: str) -> None:
    settings.ALLOWED_HOSTS = ["go.city-cab.kz", "localhost"]
    with pytest.raises(ValidationError) as refused:
        validate_password(password)
    assert "password_of_context" in {error.code for error in refused.value.error_list}


@pytest.mark.parametrize(
    "password", ["a taxi home from the old theatre", "correct horse battery", "drivers hate potholes"]
)
def test_password_with_words_of_ones_own_is_taken(settings: Any, password: str) -> None:
    settings.ALLOWED_HOSTS = ["*", ".example.kz", "[::1]", "127.0.0.1"]
    validate_password(password)


def test_words_are_documented() -> None:
    document = (Path(project.BASE_DIR) / "docs" / "security.md").read_text()
    listed = document.split("Words of the context: ")[1].split(".")[0].replace("\n", " ").split(", ")
    assert listed == list(WORDS)
