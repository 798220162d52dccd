"""Fifty streams of requests over the one connection that a sidecar has, and fifty sidecars on one data directory."""

from __future__ import annotations

import itertools
import json
import queue
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from campaigns.load.report import Held, Report, no_leak
from tests.support.machines import Machine, bare_remote, from_fixture
from tests.support.rawclient import RawClient

KINDS = {
    "status": ("sync/status", {}),
    "run": ("sync/run", {}),
    "preview": ("sync/preview", {}),
    "history": ("sync/history", {"limit": 5}),
    "exec": ("shell/exec", {"argv": ["/bin/sh", "-c", "cat; echo done"], "stdin": "aGVsbG8="}),
    "flood": ("shell/exec", {"argv": ["/bin/sh", "-c", "head -c 200000 /dev/zero"]}),
    "cancelled": ("sync/verify", {}),
    "killed": ("shell/exec", {"argv": ["/bin/sleep", "30"]}),
    "misshapen": ("sync/run", {"allowDeletions": "yes"}),
    "unknown": ("sync/nonsense", {}),
}
EXPECTED = {"misshapen": {-32602}, "unknown": {-32601}, "cancelled": {0, -32800}, "killed": {-32800}}
GARBAGE = (b"{not json", b'{"jsonrpc":"2.0","id":1,"method":"\xff"}', b"5", b'{"jsonrpc":"2.0"}', b"[" * 5000)
LONGEST_WAIT = 120.0


class Streams:
    """Each stream has one request under way; the answer makes it send the next one."""

    def __init__(self, client: RawClient, report: Report, count: int) -> None:
        self.client, self.report = client, report
        self.waits: defaultdict[str, list[float]] = defaultdict(list)
        self.outcomes: Counter[tuple[str, int]] = Counter()
        self.garbage = self.refused = 0
        self._under_way: dict[int, tuple[int, str, float]] = {}
        self._kinds = [itertools.cycle([*list(KINDS)[index % len(KINDS) :], *list(KINDS)[: index % len(KINDS)]]) for index in range(count)]

    def run(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        for stream in range(len(self._kinds)):
            self._next(stream)
        while self._under_way:
            answer = self._receive()
            if answer is None:
                return
            if answer["id"] is None:
                self.refused += 1
                continue
            stream, kind, sent = self._under_way.pop(answer["id"])
            self.waits[kind].append(time.monotonic() - sent)
            self._judge(kind, answer)
            if time.monotonic() < end:
                self._next(stream)
        while self.refused < self.garbage and self._receive() is not None:
            self.refused += 1

    def _next(self, stream: int) -> None:
        kind = next(self._kinds[stream])
        identity = self.client.start(*KINDS[kind])
        self._under_way[identity] = (stream, kind, time.monotonic())
        if kind in ("cancelled", "killed"):
            self.client.notify("$/cancelRequest", {"id": identity})
        if kind == "unknown":
            body = GARBAGE[self.garbage % len(GARBAGE)]
            self.client.send_bytes(b"Content-Length: %d\r\n\r\n" % len(body) + body)
            self.garbage += 1

    def _receive(self) -> dict[str, Any] | None:
        """The next answer; None when there will be none."""
        deadline = time.monotonic() + LONGEST_WAIT
        while True:
            try:
                message = self.client._inbox.get(timeout=max(0.01, deadline - time.monotonic()))
            except queue.Empty:
                self.report.require(False, f"no answer for {LONGEST_WAIT:.0f} s to {sorted(kind for _, kind, _ in self._under_way.values())}")
                return None
            if message is None:
                self.report.require(False, f"the server ended: {self.client.stderr.decode(errors='replace')[-500:]}")
                return None
            if "id" in message:
                return message

    def _judge(self, kind: str, answer: dict[str, Any]) -> None:
        code = answer["error"]["code"] if "error" in answer else 0
        self.outcomes[kind, code] += 1
        self.report.require(code in EXPECTED.get(kind, {0}), f"{kind} was answered with {json.dumps(answer)[:400]}")


def one_connection(root: Path, *, seconds: float, streams: int) -> Report:
    report = Report(f"{streams} streams of requests over one connection, {seconds:.0f} s")
    machine = _made(root)
    client = RawClient(machine.environ)
    try:
        client.initialize()
        Streams(client, report, streams).run(min(seconds / 4, 10))
        before = Held.of(client.process.pid)
        found = Streams(client, report, streams)
        began = time.monotonic()
        found.run(seconds)
        took = time.monotonic() - began
        report.require(found.refused == found.garbage, f"{found.garbage} malformed messages, {found.refused} answers to them")
        report.row("answers", f"{sum(found.outcomes.values())}, {sum(found.outcomes.values()) / took:.0f}/s; {found.refused} to malformed messages")
        report.row("answered in", "  count      median         99 %      longest")
        for kind, waits in sorted(found.waits.items()):
            report.waits(f"  {kind}", waits)
        time.sleep(1)
        after = Held.of(client.process.pid)
        report.row("sidecar after the warm-up", before)
        report.row("sidecar at the end", after)
        no_leak(report, "sidecar", before, after)
        report.require(client.end(20) == 0, "the sidecar did not end as it should")
    finally:
        client.kill()
    return report


def many_sidecars(root: Path, *, count: int) -> Report:
    """As opencode spawns one for each folder that is open: all start at once, all sync at once."""
    report = Report(f"{count} sidecars on one data directory, started together")
    machine = _made(root)
    began = time.monotonic()
    clients = [RawClient(machine.environ) for _ in range(count)]
    try:
        _all(clients, "initialize", {"processId": None, "capabilities": {}})
        for client in clients:
            client.notify("initialized", {})
        report.row("all initialized after", f"{time.monotonic() - began:.1f} s")
        for answer in _all(clients, "sync/status", {}):
            report.require("result" in answer, f"status was answered with {answer}")
        waiting, locked, rounds = list(clients), 0, 0
        synced = time.monotonic()
        while waiting and time.monotonic() - synced < LONGEST_WAIT:
            rounds += 1
            answers = list(zip(waiting, _all(waiting, "sync/run", {}), strict=True))
            waiting = [client for client, answer in answers if "error" in answer]
            locked += len(waiting)
            kinds = Counter(answer["error"]["data"]["kind"] for _, answer in answers if "error" in answer)
            report.require(kinds.keys() <= {"locked"}, f"sync/run was refused with {kinds}")
        report.require(not waiting, f"{len(waiting)} sidecars never got their turn")
        report.row("each had its cycle after", f"{time.monotonic() - synced:.1f} s, {rounds} rounds, {locked} times `locked`")
        held = [Held.of(client.process.pid) for client in clients]
        report.row("memory of one, most and least", f"{max(one.memory for one in held)} MB, {min(one.memory for one in held)} MB")
        report.require(all(one.children == 0 for one in held), "a sidecar has child processes although nothing is under way")
        _all(clients, "shutdown", None)
        for client in clients:
            client.notify("exit")
        report.require({client.process.wait(20) for client in clients} == {0}, "a sidecar did not end as it should")
        report.require(machine.cli("verify")["ok"], "the shadow does not describe the database")
    finally:
        for client in clients:
            client.kill()
    return report


def _all(clients: list[RawClient], method: str, params: Any) -> Iterator[dict[str, Any]]:
    """Ask all of them at once."""
    asked = [(client, client.start(method, params)) for client in clients]
    return iter([client.wait_for(identity, LONGEST_WAIT) for client, identity in asked])


def _made(root: Path) -> Machine:
    machine = from_fixture(root / "a", "ada-1.18.33")
    machine.cli("init", str(bare_remote(root / "vault.git")))
    machine.cli("sync")
    return machine
