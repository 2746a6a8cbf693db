"""Files that people keep: receipts, statements."""

from dataclasses import dataclass

from django.http import HttpResponse
from django.utils.translation import get_language


@dataclass(frozen=True, slots=True)
class File:
    name: str
    content_type: str
    content: bytes


def file_response(file: File) -> HttpResponse:
    """Answer with a file to keep, under a name of ours."""
    headers = {
        "Content-Disposition": f'attachment; filename="{file.name}"',
        "Content-Language": get_language() or "",
    }
    return HttpResponse(file.content, content_type=file.content_type, headers=headers)
