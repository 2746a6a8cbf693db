"""How static files are stored where DEBUG is off (named by a hash of their content, compressed once), and sent."""

from typing import Any

from django.http import HttpRequest, HttpResponse
from whitenoise.compress import Compressor
from whitenoise.middleware import WhiteNoiseMiddleware
from whitenoise.responders import StaticFile
from whitenoise.storage import CompressedManifestStaticFilesStorage

# What Django has for this reads the modules of all packages, some of which import what they do not bring along.
_IMPORTS = r"""(?P<matched>(?P<head>\b(?:import|export)\b[^"';]*)"(?P<url>\./[^"]+)")"""


class StaticFilesStorage(CompressedManifestStaticFilesStorage):
    # Our modules import each other by the hashed names as well. Under its plain name one would be asked for again every
    # minute, and a page could get those of two releases. Modules must not import each other in a circle.
    patterns = (*CompressedManifestStaticFilesStorage.patterns, ("js/*.js", ((_IMPORTS, '%(head)s"%(url)s"'),)))

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
        return response
