"""How static files are stored where DEBUG is off: under names with the hash of their content, compressed once."""

from typing import Any

from whitenoise.compress import Compressor
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
