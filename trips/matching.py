"""Matching of drivers and trips for the least total distance. Works on numbers only, without the database."""

from collections.abc import Mapping, Sequence


def match(costs: Sequence[Mapping[int, float]]) -> list[int | None]:
    """Return the driver for each trip; None: no driver is left. As many pairs as possible, of the least total cost.

    `costs`: for each trip the possible drivers, by id, with their cost (km, 0 or more). No driver is in two pairs.
    Equal costs always give the same result.
    """
    found: list[int | None] = [None] * len(costs)
    for rows in _group_trips(costs):
        for row, driver_id in _match_group(rows, costs):
            found[row] = driver_id
    return found


def _group_trips(costs: Sequence[Mapping[int, float]]) -> list[list[int]]:
    """Group trips that share drivers: each group is matched on its own, as towns do not compete with each other."""
    parent = list(range(len(costs)))

    def root(row: int) -> int:
        while parent[row] != row:
            parent[row] = parent[parent[row]]
            row = parent[row]
        return row

    first: dict[int, int] = {}
    for row, drivers in enumerate(costs):
        for driver_id in drivers:
            parent[root(row)] = root(first.setdefault(driver_id, row))
    parts: dict[int, list[int]] = {}
    for row, drivers in enumerate(costs):
        if drivers:
            parts.setdefault(root(row), []).append(row)
    return list(parts.values())


def _match_group(rows: Sequence[int], costs: Sequence[Mapping[int, float]]) -> list[tuple[int, int]]:
    """Return the pairs (trip, driver) of one group: as many as possible, of the least total cost."""
    if len(rows) == 1:
        drivers = costs[rows[0]]
        return [(rows[0], min(drivers, key=lambda driver_id: (drivers[driver_id], driver_id)))]
    import numpy  # noqa: PLC0415 - a process that never matches does not carry it
    from scipy.optimize import linear_sum_assignment  # noqa: PLC0415 - as above

    columns = sorted({driver_id for row in rows for driver_id in costs[row]})
    place = {driver_id: column for column, driver_id in enumerate(columns)}
    # One impossible pair costs more than all others together, so none is chosen where a real one could be.
    impossible = 1.0 + 2 * len(rows) * max(max(costs[row].values()) for row in rows)
    table = numpy.full((len(rows), len(columns)), impossible)
    for line, row in enumerate(rows):
        for driver_id, cost in costs[row].items():
            table[line, place[driver_id]] = cost
    lines, chosen = linear_sum_assignment(table)
    return [
        (rows[line], columns[column])
        for line, column in zip(lines.tolist(), chosen.tolist(), strict=True)
        if columns[column] in costs[rows[line]]
    ]
