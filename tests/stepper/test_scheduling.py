"""Which tests go to one worker."""

import re

from tests.live import ROOT
from tests.scheduling import GROUPS, Scheduling

SHARES = re.compile(r'@pytest\.fixture\(.*scope="module"')


def test_what_the_tests_of_a_module_share_is_made_once() -> None:
    modules = {path.relative_to(ROOT).as_posix(): path.read_text() for path in (ROOT / "tests").rglob("test_*.py")}
    assert {name for name, text in modules.items() if SHARES.search(text)} <= GROUPS.keys() <= modules.keys()


def test_tests_of_a_group_are_dealt_together_and_each_other_one_by_itself() -> None:
    def scope(nodeid: str) -> str:
        return Scheduling._split_scope(None, nodeid)  # type: ignore[arg-type]

    assert scope("tests/faults/test_flood.py::test_it[a@b]") == scope("tests/faults/test_crash.py::test_other")
    here = "tests/stepper/test_scheduling.py"
    assert scope(f"{here}::test_it[1]") != scope(f"{here}::test_it[2]")
