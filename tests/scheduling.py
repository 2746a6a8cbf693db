"""Deals tests to the workers: those that share what takes long to start to one worker, each other one by itself.

`--dist loadgroup` would go by a mark, which pytest-xdist 3.8 writes where pytest 9.2 no longer reads it: the tests of a
group went to all workers. It also keeps what is done and goes through it three times a test: 17 of the CPU-seconds of
twelve thousand tests.
"""

from typing import Any

from xdist.scheduler import LoadGroupScheduling

# What mostly waits: for virtual drivers, time-outs, other processes. One worker does all of it in turn while the others
# use the processors; dealt one by one it would come together, and nothing would run then.
_PATIENT = (
    "tests/faults/test_clients.py",
    "tests/faults/test_crash.py",
    "tests/faults/test_dispatcher_killed.py",
    "tests/faults/test_flood.py",
    "tests/faults/test_frames.py",
    "tests/faults/test_replay.py",
    "tests/faults/test_services.py",
    "tests/stepper/test_replay.py",
    "tests/stepper/test_request_limits.py",
    "tests/stepper/test_run.py",
    "tests/stepper/test_simulator.py",
    "tests/upgrade/test_upgrade.py",
)
# The group of each module whose tests share something that takes long to start, or that waits.
GROUPS = {
    **dict.fromkeys(_PATIENT, "patient"),
    "tests/browser/test_passkeys.py": "passkeys",
    "tests/browser/test_push.py": "push in the browser",
    "tests/faults/test_fuzz.py": "fuzz",
    "tests/realtime/test_push.py": "push",
    "tests/stepper/test_catalogues.py": "catalogues",
    "tests/stepper/test_proxies.py": "proxies",
    "tests/stepper/test_static_files.py": "static files",
}


class Scheduling(LoadGroupScheduling):
    """Forgets a group of tests when the last one is done. All are dealt in the order in which they were collected."""

    def __init__(self, config: Any, log: Any) -> None:
        super().__init__(config, log)
        # It would bring groups before the tests that take longest, and those with a browser before others.
        config.option.loadscopereorder = False

    def _split_scope(self, nodeid: str) -> str:
        return GROUPS.get(nodeid.partition("::")[0], nodeid)

    def mark_test_complete(self, node: Any, item_index: int, duration: float = 0) -> None:
        scope = self._split_scope(self.registered_collections[node][item_index])
        super().mark_test_complete(node, item_index, duration)
        units = self.assigned_work[node]
        if all(units[scope].values()):
            del units[scope]
