"""`python -m benchmarks [--sessions N ...]`: every figure that the documentation quotes, measured here and now.

Nothing here is a test: machines are noisy, so each figure stands beside a baseline of the same run.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from pathlib import Path

from benchmarks import plugin, secrets, start, sync
from benchmarks.table import Table


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure against baselines of the same run.")
    parser.add_argument("--sessions", type=int, nargs="*", default=[200, 2000], metavar="N", help="sizes of the databases (59 and 549 MB)")
    parser.add_argument("--no-start", action="store_true", help="leave out start-up")
    parser.add_argument("--no-plugin", action="store_true", help="leave out opencode's start with the plugin")
    args = parser.parse_args()
    table = Table()
    root = Path(tempfile.mkdtemp(prefix="opencode-sidecar-bench-"))
    try:
        if not args.no_start:
            start.run(root, table)
        if not args.no_plugin:
            plugin.run(root, table)
        secrets.run(table)
        for sessions in args.sessions:
            folder = root / str(sessions)
            folder.mkdir()
            sync.run(folder, sessions, table)
            shutil.rmtree(folder, ignore_errors=True)
    finally:
        shutil.rmtree(root, ignore_errors=True)
    print(f"\nTargets missed: {', '.join(table.missed) or 'none'}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
