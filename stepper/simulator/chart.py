"""Ways of dispatching as bars: mean and 95th percentile of the kilometres to the pickup. Plain SVG, light and dark."""

from collections.abc import Sequence
from html import escape
from typing import NamedTuple

WIDTH, LEFT, RIGHT = 720, 110, 90
TOP, BAR, GAP, GROUP = 56, 16, 4, 20


class Bars(NamedTuple):
    """One way of dispatching: what it is called, the share served, kilometres to the pickup."""

    name: str
    served: float
    mean_km: float
    p95_km: float


def svg(title: str, rows: Sequence[Bars]) -> str:
    """Draw the bars; the description says the same, for those who hear it."""
    step = 2 * BAR + GAP + GROUP
    height = TOP + step * len(rows) + 10
    most = max(row.p95_km for row in rows) or 1
    parts = []
    for place, row in enumerate(rows):
        y = TOP + place * step
        parts.append(
            f'<text x="{LEFT - 10}" y="{y + BAR + GAP}" class="name">{escape(row.name)}</text>'
            + _bar(y, row.mean_km, most=most, kind="mean", words=f"{row.mean_km:.2f} km")
            + _bar(y + BAR + GAP, row.p95_km, most=most, kind="p95", words=f"{row.p95_km:.2f} km")
            + f'<text x="{WIDTH - 10}" y="{y + BAR + GAP}" class="served">{row.served:.1%}</text>'
        )
    told = "; ".join(
        f"{row.name}: mean {row.mean_km:.2f} km, p95 {row.p95_km:.2f} km, {row.served:.1%} served" for row in rows
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
        'role="img" aria-labelledby="title desc">'
        f'<title id="title">{escape(title)}</title><desc id="desc">{escape(told)}</desc>'
        "<style>text{font:14px system-ui,sans-serif;fill:#1b1f1d}.name{text-anchor:end}.served,.head{text-anchor:end}"
        ".h{font-weight:600}.mean{fill:#0b6b4f}.p95{fill:#74c9a9}rect.page{fill:#fff}"
        "@media(prefers-color-scheme:dark){text{fill:#e8edea}.mean{fill:#3fc79a}.p95{fill:#095941}rect.page{fill:#101412}}"
        "</style>"
        f'<rect class="page" width="{WIDTH}" height="{height}"/>'
        f'<text x="10" y="22" class="h">{escape(title)}</text>'
        f'<rect class="mean" x="{LEFT}" y="32" width="12" height="12"/><text x="{LEFT + 18}" y="43">mean</text>'
        f'<rect class="p95" x="{LEFT + 80}" y="32" width="12" height="12"/>'
        f'<text x="{LEFT + 98}" y="43">95 % are nearer</text>'
        f'<text x="{WIDTH - 10}" y="43" class="head">served</text>{"".join(parts)}</svg>\n'
    )


def _bar(y: float, km: float, *, most: float, kind: str, words: str) -> str:
    width = (WIDTH - LEFT - RIGHT - 70) * km / most
    return (
        f'<rect class="{kind}" x="{LEFT}" y="{y}" width="{width:.1f}" height="{BAR}" rx="3"/>'
        f'<text x="{LEFT + width + 6:.1f}" y="{y + BAR - 3}">{words}</text>'
    )
