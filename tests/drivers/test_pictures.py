"""Pictures that people upload: what is kept is a new JPEG, whatever was sent."""

import io
import struct
import tracemalloc
import zlib

import pytest
from PIL import Image, ImageOps

from drivers import pictures
from drivers.pictures import KEPT_SIDE, MAX_BYTES, encode_picture
from stepper.errors import InvalidInput, Unavailable
from tests.papers import picture

# No database plays a part.
pytestmark = pytest.mark.embedded_only


def opened(content: bytes) -> Image.Image:
    return Image.open(io.BytesIO(content))


def code_of(content: bytes) -> str:
    with pytest.raises(InvalidInput) as raised:
        encode_picture(content)
    assert list(raised.value.fields) == ["file"]
    return raised.value.code


def png_that_claims(width: int, height: int) -> bytes:
    """A few bytes that a decoder would make gigabytes of."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    rows = zlib.compress(bytes(10_000_000), 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_picture_is_kept_as_jpeg(kind: str) -> None:
    kept = opened(encode_picture(picture(kind)))
    assert (kept.format, kept.size) == ("JPEG", (320, 240))


def test_large_picture_is_shrunk() -> None:
    assert opened(encode_picture(picture(size=(3000, 1500)))).size == (KEPT_SIDE, KEPT_SIDE // 2)


def test_transparent_picture_is_on_white() -> None:
    file = io.BytesIO()
    Image.new("RGBA", (300, 300), (0, 0, 0, 0)).save(file, "PNG")
    assert opened(encode_picture(file.getvalue())).getpixel((10, 10)) == (255, 255, 255)


def test_metadata_is_gone_and_the_picture_upright() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by 90°
    exif[0x010E] = "where it was taken"
    kept = encode_picture(picture(exif=exif))
    assert opened(kept).size == (240, 320)
    assert not opened(kept).getexif()
    assert b"where it was taken" not in kept


@pytest.mark.parametrize("tail", [b"PK\x03\x04 an archive", b"<script>alert(1)</script>", b"%PDF-1.7"])
def test_what_stands_behind_a_picture_is_not_kept(tail: bytes) -> None:
    kept = encode_picture(picture() + tail)
    assert tail not in kept
    assert kept.endswith(b"\xff\xd9")


def test_script_in_a_comment_is_not_kept() -> None:
    assert b"<script>" not in encode_picture(picture(comment=b"<script>alert(1)</script>"))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not a picture",
        b"%PDF-1.7\n1 0 obj\n",
        b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>",
        b"GIF89a" + picture(),
        picture("GIF"),
        picture("TIFF"),
        picture()[:400],
        picture("PNG")[:60],
        b"\xff\xd8\xff\xe0<?php echo 1; ?>",
    ],
    ids=["empty", "text", "pdf", "svg", "head of another", "gif", "tiff", "cut jpeg", "cut png", "only the head"],
)
def test_what_is_no_picture_of_a_known_kind_is_refused(content: bytes) -> None:
    assert code_of(content) == "document.not_a_picture"


@pytest.mark.parametrize(("width", "height"), [(7000, 7000), (60_000, 60_000), (6001, 6000)])
def test_picture_that_grows_when_decoded_is_refused_unread(
    width: int, height: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Image.Image, "thumbnail", lambda *_: pytest.fail("decoded"))
    content = png_that_claims(width, height)
    assert len(content) < 20_000
    assert code_of(content) == "document.too_large"


def test_text_that_grows_in_a_picture_is_not_read() -> None:
    from PIL.PngImagePlugin import PngInfo  # noqa: PLC0415

    info = PngInfo()
    info.add_text("comment", "x" * 70_000_000, zip=True)
    assert encode_picture(picture("PNG", pnginfo=info)) == encode_picture(picture("PNG"))


def progressive(scans: int, before: bytes = b"") -> bytes:
    """A JPEG with its last scan so many times, and something between its scans."""
    content = picture(progressive=True)
    last = content.rindex(b"\xff\xda")
    return content[:last] + before + content[last:-2] * scans + content[-2:]


@pytest.mark.parametrize(
    "content",
    [
        progressive(1000),
        # What ends a picture, within a comment: a decoder reads on.
        progressive(1000, b"\xff\xfe\x00\x04\xff\xd9"),
        # A marker without a length, as the head of a segment that would hide what follows.
        progressive(1000, b"\xff\x01\xff\xff"),
        progressive(1, b"\xff\xfe\x00\x02" * 2000),
    ],
    ids=["scans", "behind an end", "behind a marker without a length", "comments"],
)
def test_more_parts_than_a_picture_needs_are_refused_unread(content: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "open", lambda *_, **__: pytest.fail("decoded"))
    assert code_of(content) == "document.not_a_picture"


def test_film_behind_a_photo_does_not_count() -> None:
    assert opened(encode_picture(progressive(3) + b"\xff\xda\x00\x08" * 1000)).size == (320, 240)


def test_rows_of_a_png_in_crumbs_are_refused_unread(monkeypatch: pytest.MonkeyPatch) -> None:
    content = picture("PNG")
    crumb = struct.pack(">I", 0) + b"IDAT" + struct.pack(">I", zlib.crc32(b"IDAT"))
    monkeypatch.setattr(Image, "open", lambda *_, **__: pytest.fail("decoded"))
    assert code_of(content[:33] + crumb * 100_000 + content[33:]) == "document.not_a_picture"


def exif_that_grows(entries: int, size: int) -> bytes:
    """A block of EXIF whose entries all say that their value is most of it."""
    tags = b"".join(struct.pack("<HHII", 1000 + number, 7, size - 1000, 0) for number in range(entries))
    return b"Exif\x00\x00" + (b"II*\x00" + struct.pack("<IH", 8, entries) + tags).ljust(size, b"\x00")


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_metadata_that_grow_when_read_are_not_read(kind: str) -> None:
    content = picture(kind, exif=exif_that_grows(400, 1 << 20))
    tracemalloc.start()
    try:
        assert opened(encode_picture(content)).size == (320, 240)
        assert tracemalloc.get_traced_memory()[1] < 50 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("kind", ["JPEG", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_picture_is_turned_as_its_metadata_say(kind: str, orientation: int) -> None:
    drawn = Image.new("RGB", (400, 300), "white")
    drawn.paste("black", (0, 0, 200, 100))
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = io.BytesIO()
    drawn.save(file, kind, exif=exif, quality=95)
    kept = opened(encode_picture(file.getvalue())).convert("L")
    expected = ImageOps.exif_transpose(Image.open(file)).convert("L")
    assert kept.size == expected.size
    corners = [(5, 5), (kept.width - 5, 5), (5, kept.height - 5), (kept.width - 5, kept.height - 5)]
    kept, expected = (picture.point(lambda shade: 255 * (shade > 128)) for picture in (kept, expected))
    assert [kept.getpixel(at) for at in corners] == [expected.getpixel(at) for at in corners]


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_of_a_film_the_first_picture_is_kept(kind: str) -> None:
    frames = [Image.new("RGB", (300, 300), (shade, 0, 0)) for shade in range(0, 250, 10)]
    file = io.BytesIO()
    frames[0].save(file, kind, save_all=True, append_images=frames[1:], duration=10)
    assert opened(encode_picture(file.getvalue())).size == (300, 300)


def test_picture_that_waits_too_long_for_others_is_refused_for_now(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "WAIT_S", 0.01)
    with pictures._decoding, pytest.raises(Unavailable) as raised:
        encode_picture(picture())
    assert (raised.value.code, raised.value.status) == ("document.busy", 503)
    assert encode_picture(picture())


def test_more_bytes_than_allowed_are_refused_unread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "_decode", lambda _: pytest.fail("decoded"))
    assert code_of(picture() + bytes(MAX_BYTES)) == "document.too_large"


def test_picture_too_small_to_read_is_refused() -> None:
    assert code_of(picture(size=(320, 199))) == "document.too_small"
