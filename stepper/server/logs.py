"""Lines of the log, without the links that set a password or confirm an address.

Django logs the path of a request that failed, and a path of these is what the mail's recipient alone may know.
"""

import logging
import re

_LINK = re.compile(r"(/accounts/(?:password/reset/key|e-mail)/)[^/\s'\"]+")


class LinkHidingFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        """Format a record and its traceback; what follows the fixed part of such a link becomes an ellipsis."""
        return _LINK.sub(r"\1…", super().format(record))
