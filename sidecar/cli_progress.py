"""How far a command is: bars on a terminal, plain lines with -v elsewhere, else nothing."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from sidecar.domain.task import Progress, Task

if TYPE_CHECKING:
    from rich.progress import Progress as Bars
    from rich.progress import TaskID

LABELS = {
    "create": "making the repository",
    "connect": "asking the remote",
    "recover": "reading back what is known",
    "scan": "looking for changes",
    "record": "writing the log",
    "secrets": "looking for secrets",
    "settle": "waiting for a session to go quiet",
    "push": "pushing",
    "fetch": "fetching",
    "index": "reading other logs",
    "apply": "applying sessions",
    "verify": "comparing",
    "survey": "looking what still matters",
    "compact": "writing the log again",
    "tidy": "clearing up",
}


_showing: list[Bars] = []


def showing() -> Bars | None:
    """The bars on the terminal now."""
    return _showing[-1] if _showing else None


@contextmanager
def progress(cancelled: threading.Event, *, quiet: bool, verbose: bool) -> Iterator[Task]:
    """A task that stops when `cancelled` is set and shows what it reports on stderr: stdout belongs to the result."""
    if quiet or not (verbose or sys.stderr.isatty()):
        yield Task(None, cancelled)
    elif sys.stderr.isatty():
        with _bars() as board:
            yield Task(board, cancelled)
    else:
        yield Task(_Lines(), cancelled)


class _Lines:
    """One line when a phase begins, and when it is through."""

    def __init__(self) -> None:
        self._phase: str | None = None
        self._ended = False

    def __call__(self, progress: Progress) -> None:
        ended = progress.total is not None and 0 < progress.total <= progress.done
        if progress.phase == self._phase and (self._ended or not ended):
            return
        self._phase, self._ended = progress.phase, ended
        print(f"… {LABELS.get(progress.phase, progress.phase)} {_count(progress)}".rstrip(), file=sys.stderr, flush=True)


class _Board:
    """One bar for each phase; a phase is through when the next one begins."""

    def __init__(self, bars: Bars) -> None:
        self._bars = bars
        self._ids: dict[str, TaskID] = {}
        self._totals: dict[str, int | None] = {}

    def __call__(self, progress: Progress) -> None:
        phase, total = progress.phase, progress.total or None
        if phase not in self._ids:
            for earlier, identity in self._ids.items():
                through = self._totals[earlier] or 1
                self._bars.update(identity, completed=through, total=through)
            self._ids[phase] = self._bars.add_task(LABELS.get(phase, phase), total=None, count="")
        self._totals[phase] = total
        self._bars.update(self._ids[phase], completed=progress.done, total=total, count=_count(progress))


@contextmanager
def _bars() -> Iterator[_Board]:
    from rich.console import Console
    from rich.progress import BarColumn, SpinnerColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bars

    columns = (
        SpinnerColumn(finished_text="✓"),
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        TextColumn("{task.fields[count]}", markup=False),
        TimeElapsedColumn(),
    )
    # Redirecting would send what we print on stdout to this console, which is stderr.
    with Bars(*columns, console=Console(stderr=True), transient=True, redirect_stdout=False, redirect_stderr=False) as bars:
        _showing.append(bars)
        try:
            yield _Board(bars)
        finally:
            _showing.remove(bars)


def _count(progress: Progress) -> str:
    parts = [f"{progress.done}/{progress.total}"] if progress.total else [str(progress.done)] if progress.done else []
    return " · ".join(parts + ([_size(progress.bytes_done)] if progress.bytes_done else []))


def _size(count: int) -> str:
    return f"{count / 1e6:.1f} MB" if count >= 100_000 else f"{count / 1e3:.1f} kB"
