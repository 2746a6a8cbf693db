"""Writing that something is in use: not with every use, but when this process has not done so for a while."""


class WriteThrottle:
    """When this process last wrote for each of many keys."""

    def __init__(self, most_remembered: int) -> None:
        self._most_remembered = most_remembered
        self._written: dict[str, float] = {}

    def is_due(self, key: str, *, every_s: float, now: float) -> bool:
        """Say whether this process has to write for the key; if so, the caller does, and nobody else here.

        `now` is in seconds, always by the same clock. One that was put back makes everything due.
        """
        written_at = self._written.get(key)
        if written_at is not None and 0 <= now - written_at < every_s:
            return False
        if len(self._written) >= self._most_remembered:
            self._written.clear()
        self._written[key] = now
        return True

    def forget(self, key: str) -> None:
        """Have the key be due: it could not be written."""
        self._written.pop(key, None)

    def clear(self) -> None:
        self._written.clear()
