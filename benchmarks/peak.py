"""Peak memory of a sync with one session of many rows, or with large values: `python -m benchmarks.peak [--parts N] [--large MB]`.

One machine publishes, another takes it in; each command is a process of its own, git's not counted.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import tempfile
import time
from pathlib import Path

from tests.support import hostile_db
from tests.support.command import SIDECAR
from tests.support.machines import Machine, bare_remote, from_schema


def measured(machine: Machine, name: str, *arguments: str) -> str:
    """Runs it; what it printed."""
    started = time.monotonic()
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen([*SIDECAR, "--json", *arguments], env=machine.environ, stdout=output, stderr=output, stdin=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        said = output.read().decode()
    assert process.returncode in (0, 3), said
    print(f"{name}: {usage.ru_maxrss >> 10} MB, {time.monotonic() - started:.1f} s")
    return said


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--parts", type=int, default=0, help="so many small parts in one message")
    parser.add_argument("--large", type=int, default=0, help="two parts of so many MiB each")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root, at = Path(folder), int(time.time() * 1000) - 3_600_000
        a, b, remote = from_schema(root / "a"), from_schema(root / "b"), bare_remote(root / "remote.git")
        connection = a.connect()
        hostile_db.fill(connection, at)
        if options.parts:
            hostile_db.parts(options.parts)(connection)
        if options.large:
            hostile_db.large(options.large)(connection)
        connection.close()
        key = root / "key"
        key.write_text(json.loads(measured(a, "init", "init", str(remote)))["recoveryKey"])
        measured(a, "publish", "sync")
        measured(b, "link", "link", str(remote), "--key-file", str(key))
        measured(b, "receive", "sync")
        measured(a, "nothing to do", "sync")


if __name__ == "__main__":
    main()
