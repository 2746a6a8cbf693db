"""Takes a file of a picture apart before it is decoded, and leaves what draws the picture.

A decoder reads each part that a file has: ten megabytes hold 187,000 scans of one JPEG, each over all of the picture,
or nine thousand colour profiles of a PNG that grow to a megabyte each, or an EXIF block whose entries all stand for the
same ten megabytes. So metadata are not handed to the decoder at all, and the number of the other parts is limited.
"""

import re
import struct
from dataclasses import dataclass
from typing import Final

# Of a JPEG: a progressive one of a camera has about ten.
MAX_SCANS: Final = 100
# Of a JPEG before its end, of a PNG beside the rows of the picture; a profile alone may take up to 255.
MAX_SEGMENTS: Final = 1000
# Of a PNG: libpng writes 8 KiB at a time, others 32 KiB.
MAX_ROW_CHUNKS: Final = 5000

# Below are markers that nobody writes; some have no length, so the walk would go on elsewhere than the decoder.
_FIRST_WITH_LENGTH: Final = 0xC0
_SOI, _EOI, _SOS, _COMMENT = 0xD8, 0xD9, 0xDA, 0xFE
_APP0, _APP1, _APP14, _APP15 = 0xE0, 0xE1, 0xEE, 0xEF
# What ends coded data: a marker that is neither a zero that was stuffed in nor a point to start again from.
_NEXT_MARKER = re.compile(rb"\xff+([^\x00\xff\xd0-\xd7])")
_PNG_HEAD: Final = b"\x89PNG\r\n\x1a\n"
_PNG_DRAWN: Final = frozenset({b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS"})
_ORIENTATION_TAG: Final = 0x0112
_EXIF: Final = b"Exif\x00\x00"


class Malformed(ValueError):
    """It has more parts than a picture needs, or ends within one."""


@dataclass(frozen=True)
class Parts:
    """What draws a picture, as a file of its own, and how it is turned: EXIF's orientation, 1 to 8; None: not said."""

    drawn: bytes
    orientation: int | None


def take_apart(data: bytes) -> Parts:
    """Return what draws a picture. A file that is neither JPEG nor PNG is left as it is.

    Raises:
        Malformed
    """
    if data.startswith(b"\xff\xd8"):
        return _take_jpeg_apart(data)
    if data.startswith(_PNG_HEAD):
        return _take_png_apart(data)
    return Parts(data, None)


def _take_jpeg_apart(data: bytes) -> Parts:
    """Copy a JPEG up to its end, without its applications' segments but the two that say what the colours are.

    The walk goes from marker to marker as libjpeg does: a length says where a segment ends, and coded data go on to
    the next marker. Counting the two bytes of a scan's marker would also find them in a film behind the picture.
    """
    kept, position, orientation, scans = [b"\xff\xd8"], 2, None, 0
    for _segment in range(MAX_SEGMENTS):
        found = _NEXT_MARKER.search(data, position)
        if found is None:  # the end is cut off: the decoder says so
            return Parts(b"".join([*kept, data[position:]]), orientation)
        marker = found[1][0]
        if marker == _EOI:
            return Parts(b"".join([*kept, data[position : found.end()]]), orientation)
        if marker == _SOI or marker < _FIRST_WITH_LENGTH:
            raise Malformed
        end = found.end() + _read_length(data, found.end())
        if marker == _SOS:
            scans += 1
            if scans > MAX_SCANS:
                raise Malformed
        if (_APP0 < marker <= _APP15 and marker != _APP14) or marker == _COMMENT:
            if marker == _APP1 and orientation is None:
                orientation = read_orientation(data[found.end() + 2 : end])
            # What stands before it is the rest of a scan.
            kept.append(data[position : found.start()])
        else:
            kept.append(data[position:end])
        position = end
    raise Malformed


def _read_length(data: bytes, position: int) -> int:
    if len(data) < position + 2:
        raise Malformed
    length = int.from_bytes(data[position : position + 2], "big")
    if length < 2:
        raise Malformed
    return length


def _take_png_apart(data: bytes) -> Parts:
    """Copy a PNG's first picture: its head, colours, transparency and rows, whatever else is between them."""
    kept, position, others, rows = [_PNG_HEAD], len(_PNG_HEAD), 0, 0
    while position + 12 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, position)
        end = position + 12 + length
        if kind == b"IDAT":
            rows += 1
        else:
            others += 1
        if rows > MAX_ROW_CHUNKS or others > MAX_SEGMENTS:
            raise Malformed
        if kind in _PNG_DRAWN:
            kept.append(data[position:end])
        position = end
        if kind == b"IEND":
            break
    return Parts(b"".join(kept), None)


def read_orientation(exif: bytes) -> int | None:
    """Return the orientation of an EXIF block's first directory, 1 to 8; None: it says none that we can read.

    Pillow reads each entry of a directory, and an entry may name any part of the block as its value.
    """
    tiff = exif.removeprefix(_EXIF)
    order = {b"II*\x00": "<", b"MM\x00*": ">"}.get(tiff[:4])
    if order is None or len(tiff) < 8:
        return None
    (start,) = struct.unpack_from(f"{order}I", tiff, 4)
    entries = tiff[start + 2 :]
    if len(tiff) < start + 2:
        return None
    (count,) = struct.unpack_from(f"{order}H", tiff, start)
    for number in range(min(count, len(entries) // 12)):
        tag, _kind, _number, value = struct.unpack_from(f"{order}HHIH", entries, number * 12)
        if tag == _ORIENTATION_TAG:
            return value if 1 <= value <= 8 else None
    return None
