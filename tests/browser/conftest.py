"""What tests of pages share beside `tests.browsing`."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.push_service import PushService, push_service


@pytest.fixture
def service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[PushService]:
    """A push service that the server calls: it finds the address, and the certificate, in its environment."""
    with push_service(tmp_path) as running:
        monkeypatch.setenv("PUSH_HOSTS", running.host)
        monkeypatch.setenv("SSL_CERT_FILE", str(running.certificate))
        yield running
