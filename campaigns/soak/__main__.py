"""`python -m campaigns.soak [--operations N] [--devices 2-16] [--seed N]`: random histories of many devices, with the real engine.

Real databases of mixed versions of opencode, a real git remote, encrypted in half of the fleets. A history is 10,000 operations (row edits, cycles, and
what happens to devices); at its checkpoints every device meets every other, and the invariants of the sync model are checked. `--seed N --histories 1`
does history N again.
"""

from __future__ import annotations

import argparse
import resource
import shutil
import sys
import tempfile
import time
import traceback
from collections import Counter
from pathlib import Path

from campaigns.soak.history import History


def _range(text: str) -> tuple[int, int]:
    least, _, most = text.partition("-")
    return max(2, int(least)), max(2, int(most or least))


def soak(
    *, operations: int, per_history: int, sitting: int, devices: tuple[int, int], seed: int, histories: int | None, hours: float | None, folder: Path | None
) -> int:
    """The number of histories that broke an invariant; each is kept, and its seed printed."""
    began, total, broken, number = time.monotonic(), 0, 0, 0
    counts: Counter[str] = Counter()
    while total < operations and (histories is None or number < histories) and (hours is None or time.monotonic() - began < hours * 3600):
        root = Path(tempfile.mkdtemp(prefix=f"soak-{seed + number}-", dir=folder))
        started = time.monotonic()
        history: History | None = None
        try:
            history = History(root, seed + number, devices, min(per_history, operations - total), sitting)
            history.run()
        except Exception as error:  # noqa: BLE001 (whatever it is, it is a finding)
            broken += 1
            _report(error, history, seed + number, root)
        else:
            shutil.rmtree(root, ignore_errors=True)
        number += 1
        if history is not None:
            total += history.done
            counts += history.counts
            _progress(history, seed + number - 1, total, operations, time.monotonic() - started, time.monotonic() - began, broken)
    took = time.monotonic() - began
    print(f"{total} operations in {number} histories, {took:.0f} s, {total / took:.0f}/s: {broken} histories broke an invariant", flush=True)
    print(", ".join(f"{count} {kind}" for kind, count in counts.most_common()), flush=True)
    return broken


def _report(error: Exception, history: History | None, seed: int, root: Path) -> None:
    print(f"BROKEN seed {seed}: {type(error).__name__}: {str(error)[:2000]}", flush=True)
    if not isinstance(error, AssertionError):
        traceback.print_exception(error, file=sys.stdout)
    if history is not None:
        print(f"  {history.describe()}\n  the last steps: {'; '.join(history.trace[-25:])}")
    print(f"  kept in {root}; again: python -m campaigns.soak --seed {seed} --histories 1", flush=True)


def _progress(history: History, seed: int, total: int, wanted: int, took: float, elapsed: float, broken: int) -> None:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    memory, cpu = used[0].ru_maxrss // 1024, sum(one.ru_utime + one.ru_stime for one in used)
    left = (wanted - total) * elapsed / max(1, total)
    print(
        f"{total:>8} of {wanted} operations, {total / elapsed:5.0f}/s, {elapsed:5.0f} s, {cpu:5.0f} s of CPU, about {max(0, left):5.0f} s left, {memory} MB, {broken} broken;"
        f" seed {seed}: {history.describe()}, {history.done / took:.0f}/s",
        flush=True,
    )


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m campaigns.soak", description="Random histories of many devices.")
    parser.add_argument("--operations", type=int, default=1_000_000, metavar="N")
    parser.add_argument("--per-history", type=int, default=10_000, metavar="N")
    parser.add_argument("--sitting", type=int, default=90, metavar="N", help="edits in one go, on average; with few, more happens to the devices")
    parser.add_argument("--devices", type=_range, default=(2, 16), metavar="LEAST-MOST")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--histories", type=int, metavar="N", help="at most so many")
    parser.add_argument("--hours", type=float, metavar="H", help="begin no history after this time")
    parser.add_argument("--folder", type=Path, help="where to work, the system's folder for temporary files by default; memory is faster: /dev/shm")
    args = parser.parse_args()
    return 1 if soak(**vars(args)) else 0


if __name__ == "__main__":
    raise SystemExit(main())
