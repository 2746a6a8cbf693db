"""Rate limits that cost no query: a token bucket in the memory of this process. Limits for all processes: limits.py."""


class TokenBucket:
    """Let `burst` things happen at once and `rate` a second from then on.

    Times are of time.monotonic(), and the caller's: whoever counts has read the clock already.
    """

    __slots__ = ("burst", "filled_at", "rate", "tokens")

    def __init__(self, burst: float, rate: float, now: float) -> None:
        self.burst = burst
        self.rate = rate
        # What was left at `filled_at`; negative after `spend` has gone on beyond the limit.
        self.tokens = float(burst)
        self.filled_at = now

    def count(self, now: float) -> float:
        """Return how many tokens there are now; changes nothing."""
        tokens = self.tokens + (now - self.filled_at) * self.rate
        return tokens if tokens < self.burst else self.burst  # noqa: FURB136 - a call less for each frame

    def spend(self, now: float) -> float:
        """Spend a token whether there is one or not; return what is left, negative where it was one too many."""
        self.tokens = left = self.count(now) - 1
        self.filled_at = now
        return left

    def take(self, now: float) -> bool:
        """Spend a token where there is one; return whether there was."""
        tokens = self.count(now)
        self.filled_at = now
        if tokens < 1:
            self.tokens = tokens
            return False
        self.tokens = tokens - 1
        return True
