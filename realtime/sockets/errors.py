"""The frame that a client gets for an error."""

from django.utils.translation import override

from realtime import events
from stepper.errors import DomainError, TooManyRequests
from stepper.monitoring import figures


def error_frame(error: DomainError, ref: str | None, language: str) -> events.Error:
    """Make the frame of an error, its message in `language`. `ref` is that of the command; None: it had none."""
    figures.count_refusal(error)
    with override(language):
        return events.Error(
            code=error.code,
            message=str(error.message_with_contact),
            ref=ref,
            fields={name: [str(one) for one in texts] for name, texts in error.fields.items()} or None,
            retry_after_s=error.retry_after_s if isinstance(error, TooManyRequests) else None,
        )
