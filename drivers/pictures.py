"""Pictures that people upload, decoded and encoded anew: what is kept is ours, whatever was sent.

A new JPEG has neither what stood behind the picture's end, which makes a file two things at once, nor its metadata,
such as where a photograph was taken. PDFs are not taken: they can hold programs and other files, and drawing their
pages is work for a library of its own. Phones photograph documents.
"""

import io
import threading
import warnings
from typing import Final

from django.utils.translation import gettext as _
from PIL import Image, ImageOps

from drivers.picture_parts import read_orientation, take_apart
from stepper.errors import InvalidInput, Unavailable

# What is looked for in the content; neither the name of a file nor the type that the browser says matters.
FORMATS: Final = ("JPEG", "PNG", "WEBP")
ACCEPT: Final = "image/jpeg,image/png,image/webp"
MAX_BYTES: Final = 10 << 20
# Of the picture as it was sent: 36 megapixels of four bytes are 144 MB while it is decoded.
MAX_PIXELS: Final = 36_000_000
MIN_SIDE: Final = 200
# The longer side of what is kept: a page of small print is readable.
KEPT_SIDE: Final = 2000
QUALITY: Final = 82
# A portrait beside a name: twice its 52 pixels on the page, for sharp screens.
PORTRAIT_SIDE: Final = 112

# A picture that claims to be larger is an error as soon as its head is read.
Image.MAX_IMAGE_PIXELS = MAX_PIXELS
warnings.filterwarnings("error", category=Image.DecompressionBombWarning)
# One picture at a time in a process: several together would take several times the memory.
_decoding = threading.Lock()
# How long a picture waits for those before it, with a thread of the requests: a photograph takes a second, the largest
# with as many scans as are allowed ten.
WAIT_S: Final = 15

# EXIF's orientations -> how to turn the picture upright.
_TURNS: Final = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def encode_picture(data: bytes) -> bytes:
    """Return a JPEG of at most KEPT_SIDE pixels a side, upright and without metadata.

    Raises:
        InvalidInput: document.too_large, document.not_a_picture, document.too_small
        Unavailable: document.busy, others' pictures took longer than WAIT_S
    """
    if len(data) > MAX_BYTES:
        words = _("The file is too large: at most 10 MB.")
        raise InvalidInput("document.too_large", words, {"file": [words]})
    if not _decoding.acquire(timeout=WAIT_S):
        raise Unavailable(
            "document.busy", _("Many pictures are being sent at the moment. Please try again in a moment.")
        )
    try:
        return _encode(data)
    finally:
        _decoding.release()


def portrait(kept: bytes) -> bytes:
    """Return a small square JPEG from the middle of a picture that `encode_picture` returned."""
    with Image.open(io.BytesIO(kept), formats=("JPEG",)) as opened:
        # Decoded at a part of its size: a few milliseconds.
        opened.draft("RGB", (2 * PORTRAIT_SIDE, 2 * PORTRAIT_SIDE))
        small = ImageOps.fit(opened, (PORTRAIT_SIDE, PORTRAIT_SIDE))
    kept_small = io.BytesIO()
    small.save(kept_small, "JPEG", quality=QUALITY)
    return kept_small.getvalue()


def _encode(data: bytes) -> bytes:
    try:
        picture = _decode(data)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        words = _("The picture has too many pixels: at most 36 megapixels.")
        raise InvalidInput("document.too_large", words, {"file": [words]}) from error
    # A decoder of hostile bytes fails in many ways; whichever it is, this is no picture.
    except Exception as error:
        words = _("This is no picture that we can read. Send a photo as JPEG, PNG or WebP.")
        raise InvalidInput("document.not_a_picture", words, {"file": [words]}) from error
    if min(picture.size) < MIN_SIDE:
        words = _("The picture is too small to read: at least 200 pixels a side.")
        raise InvalidInput("document.too_small", words, {"file": [words]})
    kept = io.BytesIO()
    picture.save(kept, "JPEG", quality=QUALITY)
    return kept.getvalue()


def _decode(data: bytes) -> Image.Image:
    """Decode all of a picture, shrink it to KEPT_SIDE and make it upright, on white where it is transparent."""
    parts = take_apart(data)
    with Image.open(io.BytesIO(parts.drawn), formats=FORMATS) as opened:
        # In place, and a JPEG is decoded at half or a quarter of its size where that is enough.
        opened.thumbnail((KEPT_SIDE, KEPT_SIDE))
        orientation = parts.orientation or read_orientation(opened.info.get("exif", b""))
        turn = _TURNS.get(orientation or 1)
        upright = opened if turn is None else opened.transpose(turn)
        drawn = Image.new("RGB", upright.size, "white")
        mask = upright.convert("RGBA").getchannel("A") if upright.has_transparency_data else None
        drawn.paste(upright.convert("RGB"), mask=mask)
        return drawn
