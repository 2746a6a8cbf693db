"""The limits of one HTTP request before the application handles it, used by every server and the application.

The seconds are settings (`REQUEST_HEAD_S`, `REQUEST_BODY_SILENCE_S`, `REQUEST_BODY_S`); the example proxies in the
README carry the same numbers.
"""

import re

# The request line and each header line; `websockets` takes no longer ones at a handshake (8,192 with its ends).
MAX_LINE_BYTES = 8000
# The request line and all headers.
MAX_HEAD_BYTES = 32 * 1024
MAX_HEADERS = 100

# Requests sent ahead on one connection while the first is answered; browsers send none.
MAX_PIPELINED = 20

MAX_BODY_BYTES = 1 << 20
# A Content-Length with more digits is refused; it may also have too many for `int`.
LENGTH_DIGITS = 15
# A regular expression that matches a whole path -> bytes that a signed-in user may send there.
LARGER_BODIES: dict[str, int] = {
    # Pictures of documents (drivers.joining_urls).
    r"/drivers/documents/[a-z_]{1,16}/": 10 << 20,
}

# Bytes received before the application reads them; then reading pauses.
READ_AHEAD_BYTES = 64 * 1024
# After a refusal the client may go on sending for this time and this many bytes, which are discarded. Otherwise closing
# would reset the connection before the client has read the answer.
LINGER_S = 2
LINGER_BYTES = 8 << 20
# Of refusals that the servers answer without the application.
NOSNIFF = (b"x-content-type-options", b"nosniff")
REFUSAL_HEADERS = b"content-length: 0\r\n%b: %b\r\nconnection: close\r\n" % NOSNIFF
# The name in a request's scope by which Django's middleware finds why its body was refused.
REFUSAL = "stepper.refusal"


def largest_body(path: str) -> int:
    """Return the number of bytes that a signed-in user may send to a decoded path."""
    return max((size for pattern, size in LARGER_BODIES.items() if re.fullmatch(pattern, path)), default=MAX_BODY_BYTES)
