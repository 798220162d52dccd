"""`python -m campaigns.load [--only NAME …] [--seconds N] [--turns N]`: many requests, many sidecars, a busy day. Linux."""

from __future__ import annotations

import argparse
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from campaigns.load.day import busy_day
from campaigns.load.report import Report
from campaigns.load.shared import one_data_directory
from campaigns.load.streams import many_sidecars, one_connection


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m campaigns.load", description="Load.")
    parser.add_argument("--only", nargs="*", default=[], metavar="NAME", help="of streams, sidecars, shared, day")
    parser.add_argument("--seconds", type=float, default=60, help="of streams and shared")
    parser.add_argument("--streams", type=int, default=50)
    parser.add_argument("--sidecars", type=int, default=50, help="that are started together")
    parser.add_argument("--turns", type=int, default=250, help="of the day, on both machines together")
    args = parser.parse_args()
    parts: dict[str, Callable[[Path], Report]] = {
        "streams": lambda root: one_connection(root, seconds=args.seconds, streams=args.streams),
        "sidecars": lambda root: many_sidecars(root, count=args.sidecars),
        "shared": lambda root: one_data_directory(root, seconds=args.seconds, sidecars=8),
        "day": lambda root: busy_day(root, turns=args.turns),
    }
    broken = 0
    for name, part in parts.items():
        if args.only and name not in args.only:
            continue
        root = Path(tempfile.mkdtemp(prefix=f"load-{name}-"))
        report = part(root)
        report.show()
        broken += len(report.broken)
        if report.broken:
            print(f"  kept in {root}", flush=True)
        else:
            shutil.rmtree(root, ignore_errors=True)
    print(f"\n{broken} things broke")
    return 1 if broken else 0


if __name__ == "__main__":
    raise SystemExit(main())
