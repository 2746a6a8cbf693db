"""Units of work: what is written at their end, once, and only if it came to that."""

import pytest

from stepper.db.transactions import in_transaction, write_at_end

written: list[list[int]] = []


def write(rows: list[int]) -> None:
    written.append(rows)


@pytest.fixture(autouse=True)
def _nothing_written() -> None:
    written.clear()


@in_transaction
def leaves(*rows: int, then: Exception | None = None) -> None:
    write_at_end(write, list(rows))
    if then:
        raise then


@pytest.mark.django_db
def test_rows_of_a_unit_of_work_are_written_together() -> None:
    @in_transaction
    def unit() -> None:
        leaves(1)
        leaves(2, 3)
        assert written == []

    unit()

    assert written == [[1, 2, 3]]


@pytest.mark.django_db
def test_rows_of_what_failed_within_are_not_written() -> None:
    @in_transaction
    def unit() -> None:
        leaves(1)
        with pytest.raises(ValueError, match="no"):
            leaves(2, then=ValueError("no"))
        leaves(3)

    unit()

    assert written == [[1, 3]]


@pytest.mark.django_db
def test_unit_that_fails_leaves_nothing_for_the_next() -> None:
    with pytest.raises(ValueError, match="no"):
        leaves(1, then=ValueError("no"))

    leaves(2)

    assert written == [[2]]


def test_outside_of_a_unit_rows_are_written_at_once() -> None:
    write_at_end(write, [1])
    write_at_end(write, [2])

    assert written == [[1], [2]]
