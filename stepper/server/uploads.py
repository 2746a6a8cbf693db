"""Files in multipart bodies stay in memory: they are few, small and checked at once, and nothing is left on a disk."""

from typing import Any

from django.core.files.uploadhandler import MemoryFileUploadHandler


class InMemoryUpload(MemoryFileUploadHandler):
    """Django's handler without its own limit: the body has been limited already (stepper.server.request_limits)."""

    def handle_raw_input(self, *args: Any, **kwargs: Any) -> None:
        self.activated = True
