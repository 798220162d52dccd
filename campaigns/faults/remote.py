"""A remote that forgets, goes back, is damaged, is another one, or refuses. What a tampering one can do is in tests/e2e/sync/test_tamper.py."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from campaigns.faults.scenario import REFUSED, SPOKEN, Said, Scenario, drawn, run
from campaigns.world import Bench, require
from tests.support import tamper
from tests.support.gitremote import git, read_only
from tests.support.machines import Machine, bare_remote

MAIN = "main"


@dataclass(frozen=True)
class Lie:
    """`heals`: the machines mend it by themselves; else somebody puts the remote right. `kinds`: what the first machine may say."""

    name: str
    tell: Callable[[Path, str, str], object]
    kinds: frozenset[str]
    heals: bool = True

    def __str__(self) -> str:
        return self.name


def _branches(bench: Bench) -> tuple[str, str]:
    """The logs of the machine whose command it is, and of the other one."""
    own = str(bench.machine.cli("status")["deviceId"])
    logs = list(tamper.logs(bench.world.remote))
    return f"sessions/{own}", next(branch for branch in logs if own not in branch)


def lied_to(bench: Bench, lie: Lie) -> Said:
    own, other = _branches(bench)
    lie.tell(bench.world.remote, own, other)
    said = run(bench)
    require(said.kind in lie.kinds, f"it said {said.kind}: {said.text[:500]}")
    for one in (bench.world.b, bench.world.a):  # the other machine meets it, too, and nobody spreads it
        done = one.run("--json", "sync")
        require("Traceback" not in done.stderr and '"internal"' not in done.stdout, f"{one.root.name}: {done.stdout[-500:]} {done.stderr[-500:]}")
    if not lie.heals:
        bench.check_whole()
        shutil.rmtree(bench.world.remote)
        shutil.copytree(bench.kept / "remote.git", bench.world.remote)
    return said


def _gone(*which: str) -> Callable[[Path, str, str], object]:
    def tell(remote: Path, own: str, other: str) -> None:
        names = {"own": own, "other": other, MAIN: MAIN}
        for one in which:
            git(remote, "update-ref", "-d", f"refs/heads/{names[one]}")

    return tell


def _back(remote: Path, *branches: str) -> None:
    """All logs as of an earlier moment, as after the restore of a backup."""
    for branch in branches:
        before = git(remote, "rev-parse", "--verify", "--quiet", f"refs/heads/{branch}~1", check=False)
        git(remote, "update-ref", *(["-d", f"refs/heads/{branch}"] if not before else [f"refs/heads/{branch}", before]))


def _orphan(remote: Path, branch: str) -> None:
    tree = git(remote, "rev-parse", f"refs/heads/{branch}^{{tree}}")
    git(remote, "update-ref", f"refs/heads/{branch}", git(remote, "commit-tree", tree, "-m", "x"))


def _empty(remote: Path, *_: str) -> None:
    shutil.rmtree(remote)
    bare_remote(remote)


def _other_vault(remote: Path, *_: str) -> None:
    """Made by a third machine elsewhere, and put in this one's place."""
    aside = remote.parent / "aside"
    shutil.rmtree(aside, ignore_errors=True)
    stranger = Machine(aside)
    bare_remote(aside / "remote.git")
    shutil.copy(remote.parent / "a/data/opencode/opencode.db", stranger.db)
    stranger.cli("init", str(aside / "remote.git"))
    stranger.cli("sync", expect=(0, 3))
    shutil.rmtree(remote)
    shutil.move(aside / "remote.git", remote)


def _damage(change: Callable[[Path], object]) -> Callable[[Path, str, str], object]:
    """All packs and loose objects of the remote."""

    def tell(remote: Path, *_: str) -> None:
        for path in [*remote.glob("objects/pack/*.pack"), *remote.glob("objects/[0-9a-f][0-9a-f]/*")]:
            path.chmod(0o600)
            change(path)

    return tell


def _flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    for at in range(len(data) // 3, len(data), max(1, len(data) // 7)):
        data[at] ^= 0x55
    path.write_bytes(data)


def _locked(age: float) -> Callable[[Path, str, str], object]:
    def tell(remote: Path, own: str, _other: str) -> None:
        lock = remote / "refs/heads" / f"{own}.lock"
        lock.parent.mkdir(parents=True, exist_ok=True)
        lock.touch()
        os.utime(lock, (time.time() - age, time.time() - age))

    return tell


def _hidden(remote: Path, *_: str) -> None:
    remote.rename(remote.with_name("hidden.git"))
    remote.mkdir()


_BAD = REFUSED | {"segmentCorrupt"}
_FOREIGN = frozenset({"remoteNotVault", "wrongKey", "identityCloned"})
LIES = [
    Lie("loses our log", _gone("own"), SPOKEN),
    Lie("loses the other log", _gone("other"), SPOKEN),
    Lie("loses all logs", _gone("own", "other"), SPOKEN),
    Lie("loses the manifest", _gone(MAIN), SPOKEN | _FOREIGN, heals=False),
    Lie("is empty", _empty, SPOKEN | _FOREIGN, heals=False),
    Lie("goes back to a backup", lambda remote, own, other: _back(remote, own, other), SPOKEN),
    Lie("has our history rewritten", lambda remote, own, _other: _orphan(remote, own), frozenset({"identityCloned"}), heals=False),
    Lie("has the other history rewritten", lambda remote, _own, other: _orphan(remote, other), SPOKEN | _BAD, heals=False),
    Lie("is another vault", _other_vault, SPOKEN | _FOREIGN, heals=False),
    Lie("has flipped bits", _damage(_flip), SPOKEN | _BAD, heals=False),
    Lie("has files of length 0", _damage(lambda path: path.write_bytes(b"")), SPOKEN | _BAD, heals=False),
    Lie("has files cut in half", _damage(lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])), SPOKEN | _BAD, heals=False),
    Lie("has lost its objects", _damage(lambda path: path.unlink()), SPOKEN | _BAD, heals=False),
    Lie("has refs of nonsense", lambda remote, _own, other: (remote / "refs/heads" / other).write_text("nonsense\n"), SPOKEN | _BAD, heals=False),
    Lie("has a HEAD of nonsense", lambda remote, *_: (remote / "HEAD").write_text("\0\n"), SPOKEN | _BAD, heals=False),
    Lie("refuses by a hook", lambda remote, *_: read_only(remote), frozenset({"authFailed"}), heals=False),
    Lie("has a ref that is locked", _locked(0), REFUSED, heals=False),
    Lie("has a ref that a dead git locked", _locked(3600), SPOKEN),
    Lie("has a ref that was locked when the clock was wrong", _locked(-86_400), SPOKEN),
    Lie("is not there", _hidden, REFUSED, heals=False),
]
SCENARIOS = [
    Scenario("remote", "the remote forgets, goes back, is damaged, another, or refuses", drawn(LIES), lied_to, frozenset().union(*(lie.kinds for lie in LIES)))
]
