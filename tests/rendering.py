"""What a test learns of a page's templates: the one that the view named, with its context.

Django tells the client of each template that a page includes, for each time, with a copy of the context: up to a tenth
of what a page takes.
"""

from typing import Any

from django.template import Context, Template
from django.test import signals, utils
from django.utils.safestring import SafeString

_utils: Any = utils
# What Django would set up.
tell_of_each = _utils.instrumented_test_render


def _render(template: Template, context: Context) -> SafeString:
    """Render a template as `django.test.utils.instrumented_test_render` does, in silence where another one is."""
    if context.template is template:
        signals.template_rendered.send(sender=template, template=template, context=context)
    return template.nodelist.render(context)


def install() -> None:
    """Have pytest-django set this up in the place of Django's."""
    _utils.instrumented_test_render = _render
