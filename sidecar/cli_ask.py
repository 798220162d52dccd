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
    return not args.json and not args.quiet and sys.stdin.isatty() and sys.stderr.isatty()


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
    while os.name == "posix" and not select.select([sys.stdin], [], [], 0.1)[0]:
        task.check()
    return sys.stdin.readline().strip()
