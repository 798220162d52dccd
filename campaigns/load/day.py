"""A day of sync compressed into minutes: two real opencode servers, a person at each, and a sidecar beside each that cycles every few seconds.

The same is done for a while without sidecars first: what opencode's requests waited then is what they are compared with.
"""

from __future__ import annotations

import random
import re
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path

from campaigns.load.report import Held, Report, no_leak
from tests.support.invariants import quiet, same_everywhere
from tests.support.machines import Machine as Files
from tests.support.opencode.fleet import Fleet
from tests.support.opencode.machine import ApiError, Machine
from tests.support.rawclient import RawClient

EVERY_SECONDS = 3.0
VERSION = "1.18.33"
TROUBLE = re.compile(r"SQLITE_|database is locked|disk image is malformed|FOREIGN KEY|Failed to execute statement")
PLANS = (
    "{{text 12}}",
    "{{text 40}}",
    "{{todo 3; text 8}}",
    "{{write notes.txt 30; text 8}}",
    "{{write a.txt 10; todo 2; bash echo done; text 8}}",
    "{{task look around; text 6}}",
)
DEEDS = {"ask": 60, "new": 12, "rename": 12, "delete": 5, "revert": 4, "fork": 3, "archive": 4}


class Sessions:
    """Who is at which session: both go on with the same ones, but nobody deletes what the other is just asking in."""

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._busy: Counter[str] = Counter()
        self._gone: set[str] = set()

    def enter(self, chance: random.Random, listed: list[str]) -> str | None:
        with self._mutex:
            open_ = [session for session in sorted(listed) if session not in self._gone]
            chosen = chance.choice(open_) if open_ else None
            if chosen is not None:
                self._busy[chosen] += 1
            return chosen

    def leave(self, session: str) -> None:
        with self._mutex:
            self._busy[session] -= 1

    def delete(self, session: str) -> bool:
        """Whether it may be deleted: only the one who asks is there. Nobody enters it again."""
        with self._mutex:
            if self._busy[session] > 1:
                return False
            self._gone.add(session)
            return True


class Person:
    """Does one thing after the other in one opencode, and notes how long each request took, and what failed."""

    def __init__(self, machine: Machine, sessions: Sessions, seed: int) -> None:
        self.machine, self.sessions, self.chance = machine, sessions, random.Random(f"day {seed}")
        self.turns = 0
        self.waits: defaultdict[str, list[float]] = defaultdict(list)
        self.errors: list[str] = []

    def work(self, turns: int) -> None:
        wanted = self.turns + turns
        while self.turns < wanted and len(self.errors) < 20:
            self._do(self.chance.choices(list(DEEDS), weights=list(DEEDS.values()))[0])

    def _do(self, deed: str) -> None:
        session = None
        try:
            session = self.sessions.enter(self.chance, list(self.machine.listed())) if deed != "new" else None
            if session is None:
                session = self._timed("new", lambda: self.machine.api("POST", "/session", {})["id"])
                self.sessions.enter(self.chance, [session])
                deed = "ask"
            getattr(self, "_" + deed)(session)
        except (ApiError, OSError, AssertionError) as error:
            self.errors.append(f"{self.machine.root.name} {deed} {session}: {type(error).__name__} {str(error)[:400]}")
        finally:
            if session is not None:
                self.sessions.leave(session)

    def _timed(self, name: str, request: Callable[[], str]) -> str:
        began = time.monotonic()
        try:
            return request()
        finally:
            self.waits[name].append(time.monotonic() - began)

    def _ask(self, session: str) -> None:
        prompt = f"{self.machine.root.name} {self.turns} {self.chance.choice(PLANS)}"
        self._timed("ask", lambda: self.machine.ask(session, prompt))
        self.turns += 1

    def _rename(self, session: str) -> None:
        self._timed("rename", lambda: str(self.machine.rename(session, f"{self.machine.root.name} {self.turns}")))

    def _archive(self, session: str) -> None:
        self._timed("archive", lambda: str(self.machine.archive(session)))

    def _fork(self, session: str) -> None:
        self._timed("fork", lambda: str(self.machine.api("POST", f"/session/{session}/fork", {})))

    def _delete(self, session: str) -> None:
        if self.sessions.delete(session):
            self._timed("delete", lambda: str(self.machine.delete(session)))

    def _revert(self, session: str) -> None:
        asked = [message["info"]["id"] for message in self.machine.messages(session) if message["info"]["role"] == "user"]
        if len(asked) > 1:
            self._timed("revert", lambda: str(self.machine.revert(session, asked[-1])))


class Watch(threading.Thread):
    """A window that looks every 50 ms: what it waits is how long the app hangs."""

    def __init__(self, machine: Machine) -> None:
        super().__init__(daemon=True)
        self.machine, self.waits, self.errors = machine, list[float](), list[str]()
        self._stopped = threading.Event()
        self.start()

    def run(self) -> None:
        while not self._stopped.wait(0.05):
            began = time.monotonic()
            try:
                self.machine.listed()
            except (ApiError, OSError) as error:
                self.errors.append(f"{self.machine.root.name} list: {error}")
            self.waits.append(time.monotonic() - began)

    def stop(self) -> None:
        self._stopped.set()
        self.join(60)


class Sync(threading.Thread):
    """The sidecar beside an opencode, as the plugin runs it."""

    def __init__(self, machine: Machine) -> None:
        super().__init__(daemon=True)
        self.client = RawClient(machine.environ)
        self.client.initialize()
        self.client.call("sync/run", {}, timeout=120)
        self.cycles, self.longest, self.errors = 0, 0.0, list[str]()
        self._stopped = threading.Event()
        self.start()

    def run(self) -> None:
        while not self._stopped.wait(EVERY_SECONDS):
            began = time.monotonic()
            answer = self.client.call("sync/run", {}, timeout=120)
            self.cycles += 1
            self.longest = max(self.longest, time.monotonic() - began)
            if "error" in answer or answer["result"]["guarded"] or answer["result"]["quarantined"]:
                self.errors.append(str(answer)[:600])

    def stop(self) -> None:
        self._stopped.set()
        self.join(150)


def busy_day(root: Path, *, turns: int) -> Report:
    report = Report(f"A day in minutes: opencode {VERSION} on two machines, {turns} turns with sidecars that cycle every {EVERY_SECONDS:.0f} s")
    with Fleet(root, {"a": VERSION, "b": VERSION}) as fleet:
        people = [Person(machine, Sessions(), number) for number, machine in enumerate(fleet.machines)]
        _phase(people, 1)  # a server's first turn takes seconds
        for person in people:
            person.waits = defaultdict(list)
        without = _phase(people, max(2, turns // 8))
        shared = Sessions()
        for person in people:
            person.sessions, person.waits = shared, defaultdict(list)
        syncs = [Sync(machine) for machine in fleet.machines]
        try:
            before = [Held.of(one.client.process.pid) for one in syncs]
            began = time.monotonic()
            with_ = _phase(people, turns // 2)
            report.row(
                "took", f"{time.monotonic() - began:.0f} s, {sum(one.cycles for one in syncs)} cycles, the longest {max(one.longest for one in syncs):.1f} s"
            )
            for one in syncs:
                one.stop()
            for name, one, held in zip("ab", syncs, before, strict=True):
                after = Held.of(one.client.process.pid)
                report.row(f"sidecar of {name} at the end", after)
                no_leak(report, f"sidecar of {name}", held, after)
                for error in one.errors:
                    report.require(False, f"a cycle on {name}: {error}")
                report.require(one.client.end(20) == 0, "a sidecar did not end as it should")
        finally:
            for one in syncs:
                one.client.kill()
        _say_waits(report, without, with_)
        _end(report, fleet, people)
    return report


def _phase(people: list[Person], turns: int) -> dict[str, list[float]]:
    """Seconds that requests took, by kind, `turns` turns on each machine."""
    watches = [Watch(person.machine) for person in people]
    threads = [threading.Thread(target=person.work, args=(turns,)) for person in people]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    waits: dict[str, list[float]] = defaultdict(list)
    for watch, person in zip(watches, people, strict=True):
        watch.stop()
        person.errors += watch.errors
        waits["list"] += watch.waits
        for kind, found in person.waits.items():
            waits[kind] += found
    return waits


def _say_waits(report: Report, without: dict[str, list[float]], with_: dict[str, list[float]]) -> None:
    report.row("waits of opencode's requests", "  count      median         99 %      longest")
    for kind in ("list", "ask", "new", "rename", "archive", "fork", "revert", "delete"):
        report.waits(f"  {kind}, without a sidecar", without.get(kind, []))
        report.waits(f"  {kind}, with one", with_.get(kind, []))
    for kind in ("list", "rename", "ask"):
        if without.get(kind) and with_.get(kind):
            report.row(f"longest {kind}, with to without", f"{max(with_[kind]) / max(without[kind]):.2f}")


def _end(report: Report, fleet: Fleet, people: list[Person]) -> None:
    for person in people:
        for error in person.errors:
            report.require(False, f"opencode: {error}")
        logs = [*(person.machine.root / "data/opencode/log").glob("*.log"), person.machine.root / "serve.log"]
        lines = [line for log in logs if log.exists() for line in log.read_text(errors="replace").splitlines() if TROUBLE.search(line)]
        report.require(not lines, f"{person.machine.root.name}'s log: {lines[:3]}")
    report.row("errors of opencode", sum(len(person.errors) for person in people))
    time.sleep(4)  # the last turns go quiet
    files = [Files(machine.root) for machine in fleet.machines]
    try:
        for _ in range(3):
            fleet.exchange()
        same_everywhere(["a", "b"], [one.content() for one in files])
        listed = [set(machine.listed()) for machine in fleet.machines]
        report.require(listed[0] == listed[1], f"the two list different sessions: {sorted(listed[0] ^ listed[1])[:5]}")
        content = files[0].content()
        report.row("in the end, equal on both", f"{len(content['session'])} sessions, {len(content['message'])} messages, {len(content['part'])} parts")
        for machine in fleet.machines:
            machine.stop()
        for one in files:
            quiet(one)
    except AssertionError as error:
        report.require(False, str(error))
