"""Icons inside pages: those of the package, with the attributes that a template gives."""

import re
from pathlib import Path

import pytest
from django.conf import settings
from django.template import Context, Template

# No database plays a part.
pytestmark = pytest.mark.embedded_only

NAMED = {
    name
    for path in (Path(settings.BASE_DIR) / "templates").rglob("*.html")
    for name in re.findall(r'{% icon "([^"]+)"', path.read_text())
}


def draw(tag: str, **values: str) -> str:
    return Template("{% load icons %}" + tag).render(Context(values))


def test_icon_has_the_size_and_attributes_of_its_tag() -> None:
    drawn = draw('{% icon "house" size=18 class="icon" aria_hidden="true" %}')
    for attribute in ('width="18"', 'height="18"', 'viewBox="0 0 24 24"', 'class="icon"', 'aria-hidden="true"'):
        assert attribute in drawn
    assert drawn.count("<path ") == 2
    assert "xmlns" not in drawn
    # The same icon elsewhere is another one.
    assert 'width="24"' in draw('{% icon "house" size=24 %}')


def test_attribute_cannot_end_the_tag() -> None:
    assert "<script>" not in draw('{% icon "house" size=18 class=name %}', name='"><script>')


def test_each_icon_that_a_template_names_is_there() -> None:
    assert len(NAMED) > 50
    for name in NAMED:
        assert draw(f'{{% icon "{name}" size=18 %}}').startswith("<svg")
    with pytest.raises(KeyError):
        draw('{% icon "no-such-icon" size=18 %}')
