"""Random histories with keys in them: what is redacted never changes a local row, and what is held holds back nothing else."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from protocol.secrets import AllowSecretParams, SecretPolicyParams
from protocol.sync import CycleParams, CycleResult, InitParams, LinkParams, VerifyParams
from sidecar.domain.task import Task
from tests.property.test_convergence import START, Crash, CrashingTask
from tests.support import edits
from tests.support.machines import Machine, bare_remote, from_schema
from tests.support.planted import github, reaches

EXAMPLES = int(os.environ.get("SIDECAR_EXAMPLES", "8"))
KEYS = [github(seed) for seed in (1, 2)]
quick = settings(max_examples=EXAMPLES, suppress_health_check=list(HealthCheck), phases=(Phase.explicit, Phase.reuse, Phase.generate), print_blob=True)


class Pair:
    """`a` has the policy, `b` gets what it publishes."""

    def __init__(self, root: Path, policy: str) -> None:
        self.now, self.counter = START, 0
        self.remote = bare_remote(root / "remote.git")
        self.a, self.b = (from_schema(root / name, wall=lambda: self.now) for name in "ab")
        self.a.sidecar.init(InitParams(str(self.remote), encryption="none"), Task())
        self.b.sidecar.link(LinkParams(str(self.remote)), Task())
        self.a.sidecar.set_secret_policy(SecretPolicyParams(policy), Task())
        self.b.sidecar.set_secret_policy(SecretPolicyParams("warn"), Task())

    def sync(self, on: Machine) -> CycleResult:
        self.now += 60_000
        return on.sidecar.run(CycleParams(), Task())

    @contextmanager
    def editing(self, on: Machine) -> Iterator[Any]:
        self.now += 60_000
        self.counter += 1
        db = on.connect()
        try:
            yield db
        finally:
            db.close()

    def quiet(self) -> None:
        for _ in range(6):
            if all([self.sync(self.a).up_to_date, self.sync(self.b).up_to_date]):
                return
        raise AssertionError("the machines keep sending each other changes although nobody writes")


@contextmanager
def pair(policy: str) -> Iterator[Pair]:
    root = Path(tempfile.mkdtemp(prefix="secrets-"))
    try:
        yield Pair(root, policy)
    finally:
        shutil.rmtree(root, ignore_errors=True)


def said(on: Machine) -> dict[str, str]:
    return dict(on.sql("SELECT id, data FROM part"))


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["newA", "turnA", "turnA", "editA", "titleA", "todoA", "editB", "flagB", "syncA", "syncA", "syncB", "loseA", "crashA"]),
        st.integers(0, 30),
    ),
    max_size=14,
)


@quick
@given(STEPS)
def test_redacting_never_changes_a_local_row(steps: list[tuple[str, int]]) -> None:
    """Else a conversation loses text on the machine it was held on."""
    with pair("redact") as both:
        a, b = both.a, both.b
        wrote: dict[str, str] = {}
        for step, number in [("newA", 1), *steps]:
            key = KEYS[number % 2] if number % 3 else "nothing"
            kind, on = step[:-1], a if step[-1] == "A" else b
            if kind == "sync":
                both.sync(on)
            elif kind == "lose":
                for path in a.own_state.glob("shadow.db*"):
                    path.unlink()
            elif kind == "crash":
                both.now += 60_000
                try:
                    a.sidecar.run(CycleParams(), CrashingTask(number))
                except Crash:
                    pass
            else:
                with both.editing(on) as db:
                    _edit(both, db, kind, number, key, wrote)
        both.quiet()
        local = said(a)
        for part, text in wrote.items():
            assert text in json.loads(local[part])["text"], f"{part} lost what was written here"
        for key in KEYS:
            assert not reaches(both.remote, key), "a key left the machine"
            assert not any(key in value for row in b.content().values() for value in map(str, row.values()))
        assert said(b).keys() == local.keys()
        for part, data in said(b).items():
            assert ("[redacted:github:" in data) == any(key in local[part] for key in KEYS), f"{part} was not redacted, or needlessly"
            assert json.loads(data).get("synthetic") == json.loads(local[part]).get("synthetic"), "a change of the other machine is lost"
        assert a.sidecar.verify(VerifyParams(), Task()).ok
        assert both.sync(a).up_to_date


def _edit(both: Pair, db: Any, kind: str, number: int, key: str, wrote: dict[str, str]) -> None:
    now, tag = both.now - 30_000, f"{both.counter:04d}"
    sessions = [row[0] for row in db.execute("SELECT id FROM session ORDER BY id")]
    parts = [row[0] for row in db.execute("SELECT id FROM part ORDER BY id")]
    if kind == "new":
        edits.new_session(db, f"ses_{tag}", now)
    elif kind == "turn" and sessions:
        text = f'she said "use\n{key}", and'
        for message in edits.add_turn(db, sessions[number % len(sessions)], tag, now, text):
            wrote[f"prt_{message}"] = text
    elif kind == "title" and sessions:
        edits.rename(db, sessions[number % len(sessions)], f"about {key}")
    elif kind == "todo" and sessions:
        edits.set_todos(db, sessions[number % len(sessions)], ["one", f"remove {key}"], now)
    elif kind == "edit" and parts:
        part = parts[number % len(parts)]
        before = json.loads(db.execute("SELECT data FROM part WHERE id=?", (part,)).fetchone()[0])["text"]
        edits.edit_part(db, part, f"{before} | {key if 'redacted' not in before and key in wrote.get(part, '') else 'more'}", now)
    elif kind == "flag" and parts:
        part = parts[number % len(parts)]
        data = json.loads(db.execute("SELECT data FROM part WHERE id=?", (part,)).fetchone()[0])
        db.execute("UPDATE part SET data=?, time_updated=? WHERE id=?", (json.dumps(data | {"synthetic": True}), now, part))
        edits.wrote(db, db.execute("SELECT session_id FROM part WHERE id=?", (part,)).fetchone()[0])


@quick
@given(st.lists(st.lists(st.booleans(), min_size=1, max_size=4), min_size=1, max_size=4), st.booleans())
def test_holding_leaves_out_later_turns_of_the_session_and_nothing_else(plan: list[list[bool]], early: bool) -> None:
    """`plan`: of each session, which turns have a key in them. Half a turn elsewhere would be asked again and again."""
    with pair("hold") as both:
        a, b = both.a, both.b
        expected: set[str] = set()
        for index, turns in enumerate(plan):
            with both.editing(a) as db:
                edits.new_session(db, f"ses_{index}", both.now - 30_000)
            for number, has_key in enumerate(turns):
                with both.editing(a) as db:
                    messages = edits.add_turn(db, f"ses_{index}", f"{index}{number}", both.now - 30_000, KEYS[0] if has_key else "hello")
                if not any(turns[: number + 1]):
                    expected.update(f"prt_{message}" for message in messages)
                if early:
                    both.sync(a)
        both.quiet()
        assert said(b).keys() == expected
        assert not reaches(both.remote, KEYS[0])
        assert both.sync(a).secrets == sum(map(any, plan))
        a.sidecar.allow_secret(AllowSecretParams(rule="github"), Task())
        both.quiet()
        assert b.content() == a.content()
