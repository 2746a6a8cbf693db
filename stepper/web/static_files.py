"""How static files are stored where DEBUG is off, and sent.

Scripts of ours lose their comments and spaces; all files are named by a hash of their content, and compressed once.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from django.core.files.base import ContentFile
from django.core.files.storage import Storage
from django.http import HttpRequest, HttpResponse
from rjsmin import jsmin
from whitenoise.compress import Compressor
from whitenoise.middleware import WhiteNoiseMiddleware
from whitenoise.responders import StaticFile
from whitenoise.storage import CompressedManifestStaticFilesStorage

# What Django has for this reads the modules of all packages, some of which import what they do not bring along.
_IMPORTS = r"""(?P<matched>(?P<head>\b(?:import|export)\b[^"';]*)"(?P<url>\./[^"]+)")"""


class _Scripts(Storage):
    """The scripts of another storage, made smaller."""

    def __init__(self, scripts: Storage) -> None:
        self._scripts = scripts

    def _open(self, name: str, mode: str = "rb") -> ContentFile[bytes]:
        with self._scripts.open(name, mode) as script:
            return ContentFile(jsmin(script.read()))


class StaticFilesStorage(CompressedManifestStaticFilesStorage):
    # Our modules import each other by the hashed names as well. Under its plain name one would be asked for again every
    # minute, and a page could get those of two releases. Modules must not import each other in a circle.
    patterns = (*CompressedManifestStaticFilesStorage.patterns, ("js/*.js", ((_IMPORTS, '%(head)s"%(url)s"'),)))

    def post_process(
        self, paths: Mapping[str, tuple[Storage, str]], dry_run: bool = False, **options: Any
    ) -> Iterator[Any]:
        """Store the hashed copies: scripts of ours as they are when made smaller."""
        smaller = {
            name: (_Scripts(source) if name.startswith("js/") else source, path)
            for name, (source, path) in paths.items()
        }
        yield from super().post_process(smaller, dry_run, **options)

    def create_compressor(self, **options: Any) -> Compressor:
        """Compress by gzip alone: brotli, which is here for the fonts, would have each start take half a minute."""
        return Compressor(use_brotli=False, **options)


class StaticFileResponse(HttpResponse):
    """A static file, or why it is not sent (304, 405, 416)."""


class StaticFilesMiddleware(WhiteNoiseMiddleware):
    @staticmethod
    def serve(static_file: StaticFile, request: HttpRequest) -> StaticFileResponse:
        """Send the file as a whole: Django would begin a thread to read each in pieces, which costs more than the rest
        of the request, and the largest is smaller than a photograph.
        """
        found = static_file.get_response(request.method, request.META)
        content = b""
        if found.file is not None:
            with found.file:
                content = found.file.read()
        response = StaticFileResponse(content, status=int(found.status))
        del response.headers["Content-Type"]
        for name, value in found.headers:
            response.headers[name] = value
        # The ETag says it more exactly, and a page has thirty scripts.
        del response.headers["Last-Modified"]
        return response
