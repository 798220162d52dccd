"""What a load run found, and what a process holds (Linux)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Report:
    """`rows`: what was measured; `broken`: what must not be."""

    title: str
    rows: list[tuple[str, str]] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)

    def row(self, name: str, value: object) -> None:
        self.rows.append((name, str(value)))

    def require(self, holds: bool, what: str) -> None:
        if not holds and len(self.broken) < 50:
            self.broken.append(what)

    def waits(self, name: str, seconds: Sequence[float]) -> None:
        """Count, median, 99th percentile and longest."""
        if seconds:
            found = sorted(seconds)
            picked = (found[len(found) // 2], found[len(found) * 99 // 100], found[-1])
            self.row(name, f"{len(found):>7}   " + "   ".join(f"{value * 1000:7.0f} ms" for value in picked))

    def show(self) -> None:
        print(f"\n{self.title}")
        for name, value in self.rows:
            print(f"  {name:<44} {value}")
        for what in self.broken:
            print(f"  BROKEN {what[:1000]}")


@dataclass(frozen=True)
class Held:
    """Of one process: resident memory in MB, open files, threads, child processes."""

    memory: int
    files: int
    threads: int
    children: int

    @classmethod
    def of(cls, pid: int) -> Held:
        process = Path(f"/proc/{pid}")
        status = dict(line.split(":", 1) for line in (process / "status").read_text().splitlines())
        children = sum(len((task / "children").read_text().split()) for task in (process / "task").iterdir())
        return cls(int(status["VmRSS"].split()[0]) // 1024, len(list((process / "fd").iterdir())), int(status["Threads"]), children)

    def __str__(self) -> str:
        return f"{self.memory} MB, {self.files} files, {self.threads} threads, {self.children} children"


MAY_GROW_MB = 48


def no_leak(report: Report, who: str, before: Held, after: Held) -> None:
    """After a warm-up and at the end, with nothing under way. Threads of a pool may be started late."""
    report.require(after.memory - before.memory < MAY_GROW_MB, f"{who}: memory grew from {before.memory} to {after.memory} MB")
    report.require(after.files <= before.files + 8, f"{who}: open files grew from {before.files} to {after.files}")
    report.require(after.threads <= before.threads + 12, f"{who}: threads grew from {before.threads} to {after.threads}")
    report.require(after.children <= max(1, before.children), f"{who}: {after.children} child processes are left")  # one guards commands
