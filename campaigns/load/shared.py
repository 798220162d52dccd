"""Eight sidecars on one data directory, each running cycles as fast as it can, while opencode writes and another machine publishes."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from pathlib import Path

from campaigns.load.report import Held, Report, no_leak
from tests.support import edits
from tests.support.invariants import quiet, same_everywhere
from tests.support.machines import Machine, bare_remote, from_schema
from tests.support.rawclient import RawClient

ALLOWED = {"locked"}
LONGEST_WAIT = 60.0


class _Writer:
    """opencode's part: short transactions, all of them finished turns of a few seconds ago."""

    def __init__(self, machine: Machine, name: str) -> None:
        self.machine, self.name, self.written = machine, name, 0
        self.longest = 0.0

    def step(self, chance: random.Random) -> None:
        db = self.machine.connect()
        try:
            began, now = time.monotonic(), int(time.time() * 1000) - 4_000
            self.written += 1
            sessions = [row[0] for row in db.execute("SELECT id FROM session ORDER BY id")]
            if len(sessions) < 20:
                edits.new_session(db, f"ses_{self.name}{self.written}", now)
                sessions.append(f"ses_{self.name}{self.written}")
            session = chance.choice(sessions)
            db.execute("BEGIN IMMEDIATE")
            present = db.execute("SELECT 1 FROM session WHERE id=?", (session,)).fetchone()
            if present and chance.random() < 0.05:
                edits.delete_session(db, session)
            elif present and chance.random() < 0.3:
                edits.rename(db, session, f"{self.name} {self.written}")
            elif present:
                edits.add_turn(db, session, f"{self.name}{self.written}", now, "words " * 50)
            db.execute("COMMIT")
            self.longest = max(self.longest, time.monotonic() - began)
        finally:
            db.close()

    def fed(self) -> bool:
        return True


class _Cycles:
    """One sidecar that asks for cycle after cycle."""

    def __init__(self, machine: Machine) -> None:
        self.client = RawClient(machine.environ)
        self.client.initialize()
        self.outcomes: Counter[str] = Counter()
        self.errors: list[str] = []

    def step(self, chance: random.Random) -> None:
        answer = self.client.call("sync/run", {"allowDeletions": True}, timeout=120)
        kind = answer["error"]["data"]["kind"] if "error" in answer else "done"
        self.outcomes[kind] += 1
        if kind not in ALLOWED | {"done"}:
            self.errors.append(str(answer)[:500])
        time.sleep(chance.uniform(0.005, 0.05))

    def fed(self) -> bool:
        return self.outcomes["done"] > 0


def one_data_directory(root: Path, *, seconds: float, sidecars: int) -> Report:
    report = Report(f"{sidecars} sidecars on one data directory, cycles without a pause, {seconds:.0f} s")
    remote = bare_remote(root / "vault.git")
    a, b = from_schema(root / "a"), from_schema(root / "b")
    key = root / "key"
    key.write_text(a.cli("init", str(remote))["recoveryKey"])
    b.cli("link", str(remote), "--key-file", str(key))
    cycles = [_Cycles(a) for _ in range(sidecars)]
    others = [_Cycles(b)]
    try:
        writers = [_Writer(a, "a"), _Writer(b, "b")]
        _together([*cycles, *others, *writers], min(seconds / 4, 10), report)
        before = [Held.of(one.client.process.pid) for one in cycles]
        for one in cycles:
            one.outcomes.clear()
        _together([*cycles, *others, *writers], seconds, report)
        for number, (one, held) in enumerate(zip(cycles, before, strict=True)):
            after = Held.of(one.client.process.pid)
            report.row(f"sidecar {number}", f"{one.outcomes['done']} cycles, {one.outcomes['locked']} times `locked`; {after}")
            report.require(one.outcomes["done"] > 0, f"sidecar {number} never got its turn: {dict(one.outcomes)}")
            no_leak(report, f"sidecar {number}", held, after)
        for one in [*cycles, *others]:
            for error in one.errors[:3]:
                report.require(False, f"a cycle failed: {error}")
            report.require(one.client.end(20) == 0, "a sidecar did not end as it should")
    finally:
        for one in [*cycles, *others]:
            one.client.kill()
    report.row("transactions written meanwhile, here and there", f"{writers[0].written}, {writers[1].written}")
    report.row("longest of them", f"{max(writer.longest for writer in writers) * 1000:.0f} ms")
    _compare(report, a, b)
    return report


def _together(parts: list[_Cycles | _Writer], seconds: float, report: Report) -> None:
    end = time.monotonic() + seconds
    threads = [threading.Thread(target=_repeat, args=(part, end, random.Random(index), report)) for index, part in enumerate(parts)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(seconds + LONGEST_WAIT + 180)
        report.require(not thread.is_alive(), "something hangs")


def _repeat(part: _Cycles | _Writer, end: float, chance: random.Random, report: Report) -> None:
    """Until `end`; a sidecar that had no turn goes on asking while the others still do the same."""
    try:
        while time.monotonic() < end or (not part.fed() and time.monotonic() < end + LONGEST_WAIT):
            part.step(chance)
            time.sleep(0.005)
    except Exception as error:  # noqa: BLE001 (a finding)
        report.require(False, f"{type(error).__name__}: {error}")


def _compare(report: Report, a: Machine, b: Machine) -> None:
    time.sleep(4)  # the last turns go quiet
    for one in (a, b, a, b, a, b):
        one.cli("sync", "--allow-deletions")
    try:
        same_everywhere(["a", "b"], [a.content(), b.content()])
        for one in (a, b):
            one.check_integrity()
            quiet(one)
        report.row("sessions, messages in the end", f"{len(a.content()['session'])}, {len(a.content()['message'])}, equal on both")
    except AssertionError as error:
        report.require(False, str(error))
