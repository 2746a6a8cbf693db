"""`python -m tests.stepper.roomy serve …` is `manage.py serve` with paths that take and give a lot."""

import os
import sys

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "stepper.settings")

    import django

    django.setup()

    from django.core.management import execute_from_command_line
    from django.http import HttpRequest, HttpResponse
    from django.urls import path
    from django.views.decorators.csrf import csrf_exempt

    from stepper import urls
    from stepper.server import request_limits

    @csrf_exempt
    def upload(request: HttpRequest) -> HttpResponse:
        """Answer the number of bytes received."""
        return HttpResponse(len(request.body))

    def large(request: HttpRequest) -> HttpResponse:
        """Answer more than all buffers on the way hold."""
        return HttpResponse(b"x" * (32 << 20))

    urls.urlpatterns[:0] = [path("upload/", upload), path("large/", large)]
    request_limits.LARGER_BODIES["/upload/"] = 6 << 20
    execute_from_command_line(sys.argv)
