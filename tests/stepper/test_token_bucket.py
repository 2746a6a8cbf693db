"""The token bucket by which frames, positions and what no consumer hears of are limited."""

import pytest

from stepper.token_bucket import TokenBucket

# No database or Redis plays a part.
pytestmark = pytest.mark.embedded_only


def test_burst_is_taken_at_once_and_then_the_rate() -> None:
    bucket = TokenBucket(2, 0.5, now=10.0)
    assert [bucket.take(10.0) for _ in range(3)] == [True, True, False]
    assert not bucket.take(11.0)
    assert bucket.take(12.0)


def test_no_more_than_the_burst_is_saved() -> None:
    bucket = TokenBucket(2, 1, now=0.0)
    assert bucket.count(1000.0) == 2


def test_counting_spends_nothing() -> None:
    bucket = TokenBucket(2, 1, now=0.0)
    assert [bucket.count(0.0) for _ in range(3)] == [2, 2, 2]


def test_refused_spending_goes_below_zero_and_has_to_be_made_up_for() -> None:
    bucket = TokenBucket(1, 1, now=0.0)
    assert [bucket.spend(0.0) for _ in range(3)] == [0, -1, -2]
    assert not bucket.take(2.5)
    assert bucket.take(3.0)
