"""What a scenario is, and how one of its points is tried: break it, read what was said, take the fault away, check everything."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from campaigns.world import Bench, require
from protocol.errors import KINDS
from tests.support.gitremote import git
from tests.support.machines import Machine

DONE, ATTENTION = "done", "attention"
"""What a command with status 0, and one with status 3, says in place of an error's kind."""
SPOKEN = frozenset({DONE, ATTENTION})
REFUSED = frozenset({"authFailed", "remoteUnreachable", "remoteBusy"})
"""What is said of a remote that fails by itself."""


@dataclass(frozen=True, slots=True)
class Said:
    """How a command ended. `kind`: the error's, or done, or attention. `hit`: the fault met it. `fair`: where a program can do
    something about it; not in the interpreter's own files, or in the pipe through which it would say so. `remote`: it met the remote's own files."""

    kind: str
    text: str = ""
    hit: bool = True
    fair: bool = True
    remote: bool = False
    measured: float | None = None


@dataclass(frozen=True)
class Scenario:
    """`points` draws at most so many; `provoke` breaks something, runs the command and says how it ended; `mend` takes the fault away.
    `kinds`: all that may be said. `needs`: programs, or "root". `long`: a point takes more than half a minute."""

    name: str
    what: str
    points: Callable[[Bench, random.Random, int], Sequence[Any]]
    provoke: Callable[[Bench, Any], Said]
    kinds: frozenset[str]
    operation: str = "merge"
    mend: Callable[[Bench], None] = lambda _bench: None
    needs: tuple[str, ...] = ()
    long: bool = False
    checks: Callable[[Bench], None] = field(default=lambda _bench: None)

    @property
    def lacks(self) -> str:
        """What this machine has not; empty when it can be tried."""
        return ", ".join(name for name in self.needs if (os.getuid() != 0 if name == "root" else not _there(name)))


def _there(name: str) -> bool:
    return Path(name).exists() if name.startswith("/") else shutil.which(name) is not None


def drawn(values: Sequence[Any]) -> Callable[[Bench, random.Random, int], Sequence[Any]]:
    """Points out of a fixed list; 0: all of them."""
    return lambda _bench, chance, count: values if not count or count >= len(values) else [values[i] for i in sorted(chance.sample(range(len(values)), count))]


def attempt(bench: Bench, scenario: Scenario, point: Any) -> Said:
    """One point. Raises Broken, or what the checks raise."""
    bench.reset()
    try:
        said = scenario.provoke(bench, point)
        if said.hit and said.fair:
            require("Traceback" not in said.text, f"a traceback: {said.text}")
            require(said.kind in (scenario.kinds | REFUSED if said.remote else scenario.kinds), f"it said {said.kind}: {said.text[:400]}")
        if said.kind in SPOKEN:
            require(is_published(bench.machine), "it said that all is done, and the remote does not have it")
        bench.check_whole()
    finally:
        scenario.mend(bench)
    bench.finish()
    scenario.checks(bench)
    bench.check_result()
    return said


def is_published(one: Machine) -> bool:
    """Whether the remote's folder has this device's log as it is here."""
    try:
        device = json.loads((one.own_state / "device.json").read_bytes())["device_id"]
    except (OSError, KeyError):
        return True
    ref = f"refs/heads/sessions/{device}"
    here = git(one.own_state / "vault.git", "rev-parse", ref, check=False)
    return ref in here or here == git(one.root.parent / "remote.git", "rev-parse", ref, check=False)


def run(bench: Bench, *before: str, extra: Mapping[str, str] | None = None, timeout: float = 200, **popen: Any) -> Said:
    """The bench's command, `before` put in front of it."""
    argv = [*before, sys.executable, "-m", "sidecar", "--json", *bench.command]
    environ = bench.machine.environ | dict(extra or {})
    done = subprocess.run(argv, env=environ, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", timeout=timeout, check=False, **popen)
    return read(done.returncode, done.stdout, done.stderr)


def read(status: int, stdout: str, stderr: str) -> Said:
    """What a command with --json said. Raises Broken for what no user may ever see."""
    text = f"status {status}: {stdout[-600:]} {stderr[-600:]}"
    try:
        result = json.loads(stdout)
        error = result.get("error")
    except (ValueError, AttributeError):
        return Said("nothing", text)
    if status in (0, 3) and error is None:
        return Said(DONE if status == 0 else ATTENTION, text)
    require(error is not None and error["kind"] in KINDS and error["message"] and error["remedy"], f"no error for people: {text}")
    return Said(error["kind"], text)
