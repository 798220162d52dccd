"""Asking somebody at a terminal."""

from __future__ import annotations

import argparse
import os
import select
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from sidecar.cli_progress import showing
from sidecar.domain.task import Task

CONTROL = dict.fromkeys((*range(32), *range(127, 160), *range(8234, 8239), *range(8294, 8298)), "�")
"""Titles and names come from other machines: none of them may steer this terminal or turn the text around."""


def somebody_there(args: argparse.Namespace) -> bool:
    """Whether a question would be seen and answered."""
    silent = getattr(args, "json", False) or getattr(args, "quiet", False)
    return not silent and sys.stdin.isatty() and sys.stderr.isatty()


@contextmanager
def paused() -> Iterator[None]:
    """Without the bars, which draw over whatever else is on the terminal."""
    bars = showing()
    if bars is not None:
        bars.stop()
    try:
        yield
    finally:
        if bars is not None:
            bars.start()


def say(line: str, end: str = "\n") -> None:
    print(line.translate(CONTROL), end=end, file=sys.stderr, flush=True)


def yes(question: str, task: Task) -> bool:
    return ask(question, task).lower() in ("y", "yes")


def ask(question: str, task: Task) -> str:
    """One line of the terminal; Ctrl-C is noticed while it waits."""
    say(question, end="")
    if os.name != "posix":
        return sys.stdin.readline().strip()
    typed = b""
    while not typed.endswith(b"\n"):
        if not select.select([sys.stdin], [], [], 0.1)[0]:
            task.check()
            continue
        byte = os.read(sys.stdin.fileno(), 1)  # a buffer would hide from `select` what was typed ahead
        if not byte:
            break
        typed += byte
    return typed.decode("utf-8", "replace").strip()
