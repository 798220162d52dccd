"""Clocks that jump by years, and that disagree (libfaketime on the real command); time zones. What opencode wrote is dated as its clock said."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from campaigns.faults.scenario import SPOKEN, Said, Scenario, drawn, read
from campaigns.world import Bench, require
from tests.support import edits
from tests.support.machines import Machine

LIBRARY = next((str(path) for path in Path("/usr/lib").glob("*/faketime/libfaketime.so.1")), "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1")
YEAR = 365 * edits.DAY


@dataclass(frozen=True)
class Clock:
    """`jump`: by how many ms this machine's clock is wrong while it syncs; `rows`: opencode wrote by the same clock."""

    name: str
    jump: int
    rows: bool
    zone: str = "UTC"

    def __str__(self) -> str:
        return self.name

    @property
    def environ(self) -> dict[str, str]:
        shift = f"{self.jump // 1000:+d}s"
        return {"LD_PRELOAD": LIBRARY, "FAKETIME": shift, "FAKETIME_DONT_FAKE_MONOTONIC": "1", "FAKETIME_DONT_RESET": "1", "TZ": self.zone}


def _turn(one: Machine, session: str, at: int, *, new: bool = False) -> None:
    connection = one.connect()
    if new:
        edits.new_session(connection, session, at)
    edits.add_turn(connection, session, f"{session}{at}", at)
    connection.close()


def _sync(one: Machine, clock: Clock | None = None) -> Said:
    environ = one.environ | (clock.environ if clock is not None else {})
    program = [str(Path(__file__).with_name("underclock.py"))] if clock is not None else ["-m", "sidecar"]
    done = subprocess.run(
        [sys.executable, *program, "--json", "sync"], env=environ, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=120
    )
    said = read(done.returncode, done.stdout, done.stderr)
    require(said.kind in SPOKEN and "Traceback" not in said.text, f"{one.root.name}: {said.kind} {said.text}")
    return said


def jumped(bench: Bench, clock: Clock) -> Said:
    """One cycle with a right clock, some with a wrong one, then it is right again; the other machine's clock was right all the time."""
    a, b = bench.world.a, bench.world.b
    for one in (a, b, a):
        _sync(one)
    restorable = {cycle["cycleId"] for cycle in a.cli("history")["cycles"] if cycle["restorable"]}
    require(bool(restorable), "nothing to take back: this scenario tries nothing")
    at = int(time.time() * 1000) - edits.DAY
    _turn(a, "ses_clock", at + (clock.jump if clock.rows else 0), new=True)
    _turn(b, "ses_right", at + 1, new=True)
    first = _sync(a, clock)
    _sync(b)
    _sync(a, clock)
    _turn(a, "ses_clock", at + 60_000 + (clock.jump if clock.rows else 0))
    _sync(a, clock)
    kept = {cycle["cycleId"] for cycle in a.cli("history")["cycles"] if cycle["restorable"]}
    require(restorable <= kept, "because the clock jumped, what could be taken back cannot be any more")
    _later(a, b, at, held=clock.rows and clock.jump > 0)
    return first


def _later(a: Machine, b: Machine, at: int, *, held: bool) -> None:
    """The clock is right again: work goes on and arrives; what is dated in the future waits, and the other machine says why."""
    _turn(a, "ses_after", at + 120_000, new=True)
    connection = a.connect()
    edits.rename(connection, "ses_right", "renamed by a")
    connection.close()
    _sync(a)
    _sync(b)
    connection = b.connect()
    edits.rename(connection, "ses_right", "renamed by b, later")
    connection.close()
    _sync(b)
    _sync(a)
    titles = [one.sql("SELECT title FROM session WHERE id='ses_right'") for one in (a, b)]
    require(titles == [[("renamed by b, later",)]] * 2, f"an edit that was made later lost against one of a wrong clock: {titles}")
    require(b.sql("SELECT count(*) FROM message WHERE session_id='ses_after'") == [(2,)], "what was written with a right clock does not arrive")
    status = b.cli("status")
    arrived = b.sql("SELECT count(*) FROM message WHERE session_id='ses_clock'") == [(4,)]
    if held:
        reasons = [entry for entry in status["attention"] if entry["sessionId"] == "ses_clock"]
        require(bool(reasons) and "clock" in reasons[0]["detail"], f"rows from the future wait and nobody says why: {status['attention']}")
        for one in (a, b):  # until their time has come; the campaign does not wait for years
            connection = one.connect()
            if one is a:
                edits.delete_session(connection, "ses_clock")
            connection.close()
            one.cli("sync", "--allow-deletions", expect=(0, 3))
    else:
        require(arrived, "a session of the machine with the wrong clock does not arrive")


def _removed(bench: Bench) -> None:
    """What this scenario added goes again, so that the result can be compared; deletions travel."""
    connection = bench.world.a.connect()
    for session in ("ses_clock", "ses_right", "ses_after"):
        edits.delete_session(connection, session)
    connection.close()
    bench.world.settle()


def _restored(scenario: Callable[[Bench, Clock], Said]) -> Callable[[Bench, Clock], Said]:
    def provoke(bench: Bench, clock: Clock) -> Said:
        said = scenario(bench, clock)
        _removed(bench)
        return said

    return provoke


CLOCKS = [
    Clock(f"{name}, {'rows too' if rows else 'ours alone'}", jump, rows)
    for name, jump in (("10 years ahead", 10 * YEAR), ("10 years behind", -10 * YEAR), ("a day ahead", edits.DAY), ("an hour behind", -3_600_000))
    for rows in (False, True)
] + [Clock(f"zone {zone}", 0, rows=False, zone=zone) for zone in ("Pacific/Kiritimati", "America/St_Johns", "Europe/Berlin")]
SCENARIOS = [Scenario("clock", "a machine's clock jumps and comes back", drawn(CLOCKS), _restored(jumped), SPOKEN, needs=(LIBRARY,))]
