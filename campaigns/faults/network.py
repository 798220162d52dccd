"""A network that breaks in each phase of git's conversations, and a remote that does not answer. Over HTTP, and over what git says through ssh."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from random import Random

from campaigns.faults.scenario import REFUSED, SPOKEN, Said, Scenario, drawn, is_published, run
from campaigns.faults.server import DOWN, DRIP, FETCH, GARBAGE, HANG, LIST, LIST_PUSH, PUSH, REFUSE, UP, Break, GitServer
from campaigns.operations import OPERATIONS, merge_state
from campaigns.world import Bench, World, require
from tests.support.gitremote import processes_with
from tests.support.rawclient import RawClient

BACKEND = "/usr/lib/git-core/git-http-backend"
CANCEL_SECONDS = 0.25
ANSWER_SECONDS = 0.5
SLACK = 4.0
"""By how much a loaded machine may be late before it counts as broken."""


class HttpBench(Bench):
    """Both machines reach their remote over HTTP; the server runs for as long as the bench."""

    def __init__(self, folder: Path, name: str = "http") -> None:
        self.server = GitServer(folder / name)

        def prepare(world: World) -> None:
            (world.root / "url").write_text(self.server.url)
            merge_state(world)

        operation = next(one for one in OPERATIONS if one.name == "merge")
        super().__init__(folder, replace(operation, name=name, prepare=prepare))

    def close(self) -> None:
        self.server.close()


def _server(bench: Bench) -> GitServer:
    assert isinstance(bench, HttpBench)
    return bench.server


def _healed(bench: Bench) -> None:
    _server(bench).breaking(None)


def broken(bench: Bench, plan: Break) -> Said:
    server = _server(bench)
    server.breaking(plan)
    said = run(bench)
    return replace(said, hit=server.reached.is_set())


def cuts(how: str, *phases: str) -> Callable[[Bench, Random, int], Sequence[Break]]:
    """Each request of a run in which nothing goes wrong, cut at its begin, at its end, and after some number of bytes between."""

    def points(bench: Bench, chance: Random, count: int) -> Sequence[Break]:
        server = _server(bench)
        bench.reset()
        server.breaking(None)
        require(run(bench).kind in SPOKEN, "it does not work by itself")
        numbers: dict[str, int] = {}
        every: list[Break] = []
        for one in list(server.seen):
            numbers[one.phase] = numbers.get(one.phase, 0) + 1
            size = one.up if how == UP else one.down
            if one.phase in phases and size:
                at = {0, 1, size // 2, size - 1, *(chance.randrange(size) for _ in range(6))}
                every += [Break(one.phase, how, after, numbers[one.phase], times=99) for after in sorted(at) if 0 <= after < size]
        return every if not count or len(every) <= count else [every[i] for i in sorted(chance.sample(range(len(every)), count))]

    return points


def after_the_push(bench: Bench, plan: Break) -> Said:
    """The remote took the push, the answer got lost, and it cannot be asked: nobody may say that all is done."""
    said = broken(bench, replace(plan, then_dead=True))
    if not said.hit or not is_published(bench.machine):
        return replace(said, hit=False)  # that request was not the push itself
    require(said.kind not in SPOKEN, f"nothing confirmed it, and yet it said {said.kind}")
    _healed(bench)
    again = bench.machine.cli("sync", expect=(0, 3))
    require(again["published"]["rows"] == 0, "the next cycle published again what had arrived")
    require(not [one for one in _server(bench).seen if one.phase == PUSH], "the next cycle pushed again what had arrived")
    return said


def hung(bench: Bench, plan: Break) -> Said:
    """While the remote does not answer: other requests are answered, a cancelled cycle ends at once, and no git is left behind."""
    server = _server(bench)
    server.breaking(plan)
    client = RawClient(bench.machine.environ)
    try:
        client.initialize()
        cycle = client.start("sync/run", {})
        require(server.reached.wait(60), "the remote was never asked")
        time.sleep(0.2)
        began = time.perf_counter()
        require("result" in client.call("sync/status", {}), "no status while a remote hangs")
        answered = time.perf_counter() - began
        require(answered < ANSWER_SECONDS * SLACK, f"status took {answered:.2f} s while a remote hung")
        began = time.perf_counter()
        client.notify("$/cancelRequest", {"id": cycle})
        error = client.wait_for(cycle, 30)["error"]
        cancelled = time.perf_counter() - began
        require(cancelled < CANCEL_SECONDS * SLACK, f"cancelling took {cancelled:.2f} s")
        server.released.set()
        client.end()
    finally:
        client.kill()
    left = _git_children(bench)
    require(not left, f"git was left behind: {left}")
    return Said(error["data"]["kind"], str(error), measured=max(cancelled, answered))


def _git_children(bench: Bench) -> list[int]:
    """What still works in our repository a moment later."""
    deadline = time.monotonic() + 3
    while (left := processes_with(f"--git-dir={bench.machine.own_state}")) and time.monotonic() < deadline:
        time.sleep(0.05)
    return left


def out_of_time(bench: Bench, plan: Break) -> Said:
    """Nobody cancels: it ends by itself."""
    began = time.monotonic()
    said = broken(bench, plan)
    return replace(said, measured=time.monotonic() - began)


def through_ssh(bench: Bench, point: tuple[str, int]) -> Said:
    """In place of ssh a program that hands through so many bytes of one direction of one command, and dies."""
    address = bench.world.root / "url"
    _point_to(bench, f"ssh://host{bench.world.remote}")
    way, after = point
    relay = f"{sys.executable} {Path(__file__).with_name('cutssh.py')} {way} {after}"
    try:
        return run(bench, extra={"GIT_SSH_COMMAND": relay, "GIT_SSH_VARIANT": "ssh"})
    finally:
        _point_to(bench, address.read_text() if address.exists() else str(bench.world.remote))


def _point_to(bench: Bench, url: str) -> None:
    import json

    path = bench.machine.own_state / "device.json"
    path.write_text(json.dumps(json.loads(path.read_bytes()) | {"remote": url}))


_CUT = REFUSED | {"segmentCorrupt"} | SPOKEN
_SSH = [(f"{command}-{way}", after) for command in ("upload", "receive") for way in ("up", "down") for after in (0, 3, 30, 200, 500, 900, 3000, 20_000)]
_HANGS = [Break(phase, HANG, times=99) for phase in (LIST, FETCH, LIST_PUSH, PUSH)]
_DRIPS = [Break(phase, DRIP, after, times=99) for phase, after in ((LIST, 10), (FETCH, 40), (LIST_PUSH, 10))]

SCENARIOS = [
    Scenario("cut-list", "the line is cut while the branches are listed", cuts(DOWN, LIST, LIST_PUSH), broken, _CUT, "http", _healed, (BACKEND,)),
    Scenario("cut-fetch", "… while a fetch receives", cuts(DOWN, FETCH), broken, _CUT, "http", _healed, (BACKEND,)),
    Scenario("cut-fetch-up", "… while a fetch asks", cuts(UP, FETCH), broken, _CUT, "http", _healed, (BACKEND,)),
    Scenario("cut-push", "… while a push sends", cuts(UP, PUSH), broken, _CUT, "http", _healed, (BACKEND,)),
    Scenario("cut-push-answer", "… after the remote took a push, and stays cut", cuts(DOWN, PUSH), after_the_push, _CUT, "http", _healed, (BACKEND,)),
    Scenario("garbage", "the answer turns into random bytes", cuts(GARBAGE, LIST, FETCH, LIST_PUSH, PUSH), broken, _CUT, "http", _healed, (BACKEND,)),
    Scenario("refuse", "status 503", drawn([Break(phase, REFUSE) for phase in (LIST, FETCH, LIST_PUSH, PUSH)]), broken, _CUT, "http", _healed, (BACKEND,)),
    Scenario("ssh-cut", "the same through ssh", drawn(_SSH), through_ssh, _CUT),
    Scenario("hung", "the remote accepts and never answers", drawn(_HANGS), hung, frozenset({"cancelled"}), "http", _healed, (BACKEND,)),
    Scenario("drip", "the remote answers a byte each tenth of a second", drawn(_DRIPS), hung, frozenset({"cancelled"}), "http", _healed, (BACKEND,)),
    Scenario("hung-timeout", "the remote never answers, and nobody cancels", drawn(_HANGS), out_of_time, REFUSED, "http", _healed, (BACKEND,), long=True),
]  # fmt: skip
