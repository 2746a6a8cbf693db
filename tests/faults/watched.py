"""A real server with a window in it: what tests of faults must see, or do, inside of a server process.

`python -m tests.faults.watched serve …` is `manage.py serve`. SIGUSR1 writes what the process holds as JSON to the
file `WATCHED_FILE`; after SIGUSR2 the next change that logs events ends the process by SIGKILL once it has
committed, before anything of it is published.
"""

import asyncio
import gc
import json
import os
import signal
import sys
from collections import Counter
from pathlib import Path
from typing import Any


def _holds() -> dict[str, Any]:
    from channels.layers import get_channel_layer

    from realtime.outbox import publisher
    from realtime.sockets.base import SocketConsumer, open_sockets

    layer = get_channel_layer()
    gc.collect()
    # No other thread in between: a tuple that it is making from a generator is in this list, too, and Python raises
    # SystemError where it makes one shorter that somebody else holds.
    pause_s = sys.getswitchinterval()
    sys.setswitchinterval(60)
    # By type(): isinstance() would wake lazy objects, some of which raise.
    alive = sum(issubclass(type(one), SocketConsumer) for one in gc.get_objects())
    sys.setswitchinterval(pause_s)
    tasks = asyncio.all_tasks(publisher._loop)
    return {
        "tasks": Counter(getattr(task.get_coro(), "__qualname__", "?") for task in tasks if not task.done()),
        "sockets": len(open_sockets),
        "consumers": alive,
        "joined": sorted(layer.joined),
    }


def _write(_number: int, _frame: Any) -> None:
    path = Path(os.environ["WATCHED_FILE"])
    path.with_suffix(".new").write_text(json.dumps(_holds()))
    path.with_suffix(".new").replace(path)


def _end_at_next_commit(_number: int, _frame: Any) -> None:
    from realtime.outbox import publisher

    publisher.send = lambda rows: os.kill(os.getpid(), signal.SIGKILL)  # type: ignore[method-assign]


if __name__ == "__main__":
    from django.core.management import execute_from_command_line

    signal.signal(signal.SIGUSR1, _write)
    signal.signal(signal.SIGUSR2, _end_at_next_commit)
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "stepper.settings")
    execute_from_command_line(sys.argv)
