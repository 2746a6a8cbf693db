"""Check every page in every combination of language, colours and width (`make check-pages`).

Prints each page as it is done and, at the end, a table of what was found; the exit status is 1 where anything was.
"""

import argparse
import sys
import time
from collections import defaultdict

from playwright.sync_api import Browser

from tests.pages.service import running

CONTEXT = {"locale": "en-GB", "timezone_id": "Asia/Almaty", "service_workers": "block"}


def main() -> int:
    parser = argparse.ArgumentParser(prog="make check-pages", description=__doc__)
    parser.add_argument("--only", default="", help="pages whose name contains this")
    parser.add_argument("--rotated", action="store_true", help="each page in one combination, as `make test` does")
    parser.add_argument("--language", action="append", help="this one alone; may be given several times")
    parser.add_argument("--width", action="append", type=int, help="this one alone; may be given several times")
    options = parser.parse_args()
    with running() as (browser, url):
        return check(browser, url, options)


def check(browser: Browser, url: str, options: argparse.Namespace) -> int:
    # They need Django.
    from tests.pages.measuring import Finding, measure, measure_colours
    from tests.pages.people import People
    from tests.pages.table import PAGES
    from tests.pages.visits import COMBINATIONS, Visits, rotated

    def is_chosen(language: str, width: int) -> bool:
        return language in (options.language or [language]) and width in (options.width or [width])

    rows = [row for row in PAGES if options.only in row.name]
    # One load for both: text stands where it stands in any colours.
    loads = (
        [(row, [one]) for row, one in rotated(rows)]
        if options.rotated
        else [
            (row, [one, one._replace(scheme="dark")])
            for row in rows
            for one in COMBINATIONS
            if one.scheme == "light" and is_chosen(one.language, one.width)
        ]
    )
    found: dict[tuple[str, Finding], list[str]] = defaultdict(list)
    began = time.monotonic()
    with Visits(browser, url, People(), CONTEXT) as visits:
        for number, (row, combinations) in enumerate(loads, 1):
            for combination in combinations:
                try:
                    if combination is combinations[0]:
                        findings = measure(visits.open(row, combination)).findings
                    else:
                        findings = measure_colours(visits.recolour(combination.scheme))
                except Exception as error:  # noqa: BLE001 - whatever one page does, the others are checked
                    findings = [Finding("not opened", str(error).splitlines()[0][:200], "")]
                findings += [Finding("script", fault.splitlines()[0][:200], "") for fault in visits.take_faults()]
                for finding in dict.fromkeys(findings):
                    found[row.name, finding].append(str(combination))
            if number == len(loads) or loads[number][0] is not row:
                here = len({finding for name, finding in found if name == row.name})
                print(f"{number:5} of {len(loads)}  {row.name}: {here or 'nothing'} found", flush=True)
    for (name, finding), where in found.items():
        shown = ", ".join(where[:4]) + (f" and {len(where) - 4} more" if len(where) > 4 else "")
        print(f"{name:28} {finding.kind:12} {finding.what}\n{'':28} {finding.where}\n{'':28} {shown}")
    checks = sum(len(combinations) for _row, combinations in loads)
    print(f"{len(rows)} pages, {checks} checks in {time.monotonic() - began:.0f} s: {len(found)} findings")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
