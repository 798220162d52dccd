"""`python -m campaigns.crash [--points N] [--seed N] [--only NAME …]`: kill -9 at system calls that change something, one after the other.

strace (Linux) kills the command, or a git that it started, when it is about to make its Nth write, rename, fsync, …; then the command
runs again, all machines sync, and every invariant is checked: nothing lost, nothing damaged, machines equal.
"""

from __future__ import annotations

import argparse
import collections
import compileall
import json
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import protocol
import sidecar
from campaigns.operations import OPERATIONS
from campaigns.world import Bench, Broken, require
from sidecar.domain.errors import SidecarError

CALLS = {
    "write": "write,pwrite64,writev,pwritev",
    "rename": "rename,renameat,renameat2,link,linkat",
    "unlink": "unlink,unlinkat,rmdir",
    "make": "mkdir,mkdirat,openat",
    "sync": "fsync,fdatasync,ftruncate,fallocate",
    "start": "execve,vfork,fork,clone3",
    "talk": "connect,sendto,sendmsg",
}
LINE = re.compile(r"^(\d+) +([a-z0-9_]+)\((.*)")


class Killing(Bench):
    """`counts`: the most calls of each kind that one process makes: strace counts per process."""

    counts: dict[str, int]

    def undisturbed(self) -> None:
        log = self.world.root / "calls"
        done = self._strace("-o", str(log), "-e", "trace=" + ",".join(CALLS.values()))
        require(done.returncode == 0, f"{self.operation.name} fails by itself: {done.stderr!r}")
        kinds = {call: kind for kind, calls in CALLS.items() for call in calls.split(",")}
        found: collections.Counter[tuple[str, str]] = collections.Counter()
        for line in log.read_text(errors="replace").splitlines():
            match = LINE.match(line)
            if match and match[2] in kinds and not (match[2] == "openat" and "O_CREAT" not in match[3]):
                found[match[1], match[2]] += 1
        self.counts = {}
        for (_, call), count in found.items():
            self.counts[call] = max(self.counts.get(call, 0), count)

    def _strace(self, *options: str) -> subprocess.CompletedProcess[bytes]:
        command = ["strace", "-f", "-qq", *options, sys.executable, "-m", "sidecar", *self.command]
        return subprocess.run(command, env=self.machine.environ, stdin=subprocess.DEVNULL, capture_output=True, timeout=300, check=False)

    def points(self) -> Iterator[tuple[str, int]]:
        for call, count in self.counts.items():
            if call != "openat":  # most of them read; its files are met by the writes to them
                yield from ((call, number) for number in range(1, count + 1))

    def kill(self, call: str, number: int) -> bool:
        """Whether the kill met anything. Raises Broken."""
        self.reset()
        log = self.world.root.parent / "killed"
        self._strace("-o", str(log), "-e", f"trace={call}", "-e", f"inject={call}:signal=KILL:when={number}")
        hit = "killed by SIGKILL" in log.read_text(errors="replace")
        self.check_whole()
        time.sleep(0.05)  # a git that was left behind
        self.finish()
        self.check_result()
        return hit


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m campaigns.crash", description="Kill at every system call that changes something.")
    parser.add_argument("--points", type=int, default=0, metavar="N", help="how many, drawn evenly; 0: every one")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", nargs="*", default=[], metavar="NAME", help=f"of {', '.join(operation.name for operation in OPERATIONS)}")
    args = parser.parse_args()
    if shutil.which("strace") is None:
        raise SystemExit("strace is needed (Linux; package strace)")
    for package in (protocol, sidecar):  # or the first run, whose calls are counted, writes them
        compileall.compile_dir(package.__path__[0], quiet=1)
    chance, folder = random.Random(args.seed), Path(tempfile.mkdtemp(prefix="opencode-sidecar-crash-"))
    chosen = [operation for operation in OPERATIONS if not args.only or operation.name in args.only]
    failures: list[str] = []
    total = hits = 0
    try:
        for operation in chosen:
            bench = Killing(folder, operation)
            points = list(bench.points())
            if args.points:
                points = sorted(chance.sample(points, min(len(points), args.points // len(chosen))))
            met = 0
            for call, number in points:
                try:
                    met += bench.kill(call, number)
                except (Broken, SidecarError, AssertionError, json.JSONDecodeError, subprocess.TimeoutExpired) as error:
                    failures.append(f"{operation.name} {call} {number}: {str(error)[:600]}")
                    print(f"BROKEN {failures[-1]}", flush=True)
            total, hits = total + len(points), hits + met
            print(f"{operation.name:<14} {len(points):>5} points, {met:>5} kills, of {sum(bench.counts.values())} calls", flush=True)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(f"{total} points, {hits} kills, {len(failures)} broken invariants")
    return 1 if failures else 0


if __name__ == "__main__":
    raise SystemExit(main())
