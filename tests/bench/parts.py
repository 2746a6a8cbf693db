"""Processes that carry out a part of a benchmark each: they run a module of it and say what they found, as JSON."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

Part = subprocess.Popen[str]


def start(module: str, *arguments: object) -> Part:
    command = [sys.executable, "-m", module, *map(str, arguments)]
    return subprocess.Popen(command, env=os.environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def tell(part: Part, what: Any) -> None:
    assert part.stdin is not None
    part.stdin.write(json.dumps(what) + "\n")
    part.stdin.flush()


def said(part: Part) -> Any:
    """The next line."""
    assert part.stdout is not None
    line = part.stdout.readline()
    if not line:
        raise SystemExit(f"A part of the benchmark ended with {part.wait()}")
    return json.loads(line)


def timed_ms(call: Callable[[], object]) -> float:
    started = time.perf_counter()
    call()
    return (time.perf_counter() - started) * 1000


def rounded(figures: Mapping[str, Any]) -> dict[str, Any]:
    return {name: round(value, 3) if isinstance(value, float) else value for name, value in figures.items()}
