"""The geometry of charts: whole numbers for an SVG, which no language writes with a comma."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

HEIGHT = 100
_SLOT, _GAP = 10, 2
# What is there at all is seen.
_LEAST_HEIGHT = 2
_LABELS = 7
# Shades of the heat map, beside none.
_LEVELS = 4


@dataclass(frozen=True, slots=True)
class Segment:
    y: int
    height: int
    # The number of the series, for its colour.
    series: int


@dataclass(frozen=True, slots=True)
class Bar:
    x: int
    segments: list[Segment]
    # Empty: too close to the next one that is written.
    label: str
    title: str

    @property
    def width(self) -> int:
        return _SLOT - _GAP


@dataclass(frozen=True, slots=True)
class Bars:
    """Bars of stacked series. `summary` says in a sentence what they show; `most` is the highest bar, in words."""

    bars: list[Bar]
    series: Sequence[str]
    summary: str
    most: str
    kind: str = "bars"

    @property
    def width(self) -> int:
        return _SLOT * len(self.bars)

    @property
    def height(self) -> int:
        return HEIGHT

    @property
    def labels(self) -> list[str]:
        return [bar.label for bar in self.bars if bar.label]


def stack(
    names: Sequence[str],
    values: Sequence[Sequence[float]],
    titles: Sequence[str],
    *,
    series: Sequence[str],
    summary: str,
    most: str,
) -> Bars:
    """Lay out a bar of the values of each name, the first series at the bottom; the highest is as high as the chart."""
    highest = max((sum(one) for one in values), default=0)
    every = max(1, -(-len(names) // _LABELS))
    bars = []
    for at, (name, one, title) in enumerate(zip(names, values, titles, strict=True)):
        segments, top = [], HEIGHT
        for number, value in enumerate(one):
            height = max(_LEAST_HEIGHT, round(HEIGHT * value / highest)) if value and highest else 0
            height = min(height, top)
            top -= height
            if height:
                segments.append(Segment(top, height, number))
        label = name if at % every == 0 else ""
        bars.append(Bar(at * _SLOT + _GAP // 2, segments, label, title))
    return Bars(bars, series, summary, most)


@dataclass(frozen=True, slots=True)
class HeatCell:
    x: int
    y: int
    # 0: nothing, up to 4.
    level: int
    title: str


@dataclass(frozen=True, slots=True)
class Heat:
    """A map of hours (across) and places (down)."""

    cells: list[HeatCell]
    rows: list[str]
    summary: str
    kind: str = "heat"
    columns: int = 24

    @property
    def width(self) -> int:
        return self.columns * _SLOT

    @property
    def height(self) -> int:
        return len(self.rows) * _SLOT

    @property
    def size(self) -> int:
        return _SLOT - 1


def heat(rows: Sequence[str], values: Sequence[Sequence[int]], titles: Sequence[Sequence[str]], summary: str) -> Heat:
    """Lay out a cell for each hour of each place, the darker the more."""
    most = max((value for row in values for value in row), default=0)
    cells = [
        HeatCell(x * _SLOT, y * _SLOT, -(-_LEVELS * value // most) if most else 0, titles[y][x])
        for y, row in enumerate(values)
        for x, value in enumerate(row)
    ]
    return Heat(cells, list(rows), summary)


@dataclass(frozen=True, slots=True)
class Line:
    """A bar from left to right, `width` of 100; `shown` is its number as the page writes it."""

    label: str
    number: int
    width: int
    shown: str


@dataclass(frozen=True, slots=True)
class Lines:
    lines: list[Line]
    summary: str
    kind: str = "lines"


def lines(values: Sequence[tuple[str, int]], summary: str, write: Callable[[int], str] = str) -> Lines:
    """Lay out a bar for each value, the longest over the whole width; for few values with long names.

    `write`: writes a number with its unit; by itself as it is.
    """
    most = max((number for _label, number in values), default=0)
    found = [
        Line(label, number, max(1, round(100 * number / most)) if number else 0, write(number))
        for label, number in values
    ]
    return Lines(found, summary)
