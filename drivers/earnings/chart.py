"""The geometry of the chart of a period's earnings: whole numbers for an SVG, which no language writes with a comma."""

from collections.abc import Sequence
from dataclasses import dataclass

from .periods import Kind, Period, Span
from .sums import Sums

HEIGHT = 100
_SLOT = 10
_GAP = 2
# What is earned at all is seen.
_LEAST_HEIGHT = 2
# Every so many labels are written below the bars.
_LABELS_EVERY = {Kind.DAY: 6, Kind.WEEK: 1, Kind.MONTH: 7}


@dataclass(frozen=True, slots=True)
class Bar:
    """A bar of the chart, in the units of its view box, and its row in the table."""

    span: Span
    sums: Sums
    x: int
    y: int
    height: int
    # Empty: too close to the next one that is written.
    label: str

    @property
    def width(self) -> int:
        return _SLOT - _GAP


@dataclass(frozen=True, slots=True)
class Chart:
    bars: list[Bar]

    @property
    def width(self) -> int:
        return _SLOT * len(self.bars)

    @property
    def height(self) -> int:
        return HEIGHT

    @property
    def best(self) -> Bar | None:
        """The highest bar; None: nothing was earned."""
        best = max(self.bars, key=lambda bar: bar.sums.earned)
        return best if best.sums.earned else None

    @property
    def rows(self) -> list[Bar]:
        """The bars of the spans in which trips were completed."""
        return [bar for bar in self.bars if bar.sums.trips]


def draw(period: Period, sums: Sequence[Sums]) -> Chart:
    """Lay out a bar for each span of the period; the highest is as high as the chart."""
    most = max((one.earned for one in sums), default=0)
    every = _LABELS_EVERY[period.kind]
    bars = []
    for at, (span, one) in enumerate(zip(period.spans, sums, strict=True)):
        height = max(_LEAST_HEIGHT, HEIGHT * one.earned // most) if one.earned else 0
        label = span.label if at % every == 0 else ""
        bars.append(Bar(span, one, x=at * _SLOT + _GAP // 2, y=HEIGHT - height, height=height, label=label))
    return Chart(bars)
