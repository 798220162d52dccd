"""Random histories in which the key is changed, devices join and are forgotten, and those forgotten go on with what they have."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tempfile
import time
from pathlib import Path

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from protocol.keys import ForgetDeviceParams, RotateKeyParams, ShowKeyParams
from protocol.sync import CycleParams, InitParams, LinkParams, VerifyParams
from sidecar.adapters.crypto import KeyRing, Sealer
from sidecar.domain.errors import SidecarError
from sidecar.domain.task import Task
from tests.support import edits, tamper
from tests.support.machines import Machine, bare_remote, from_schema

EXAMPLES = int(os.environ.get("SIDECAR_EXAMPLES", "5"))
STEPS = int(os.environ.get("SIDECAR_STEPS", "12"))
MOST = 4


class Keys(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.root = Path(tempfile.mkdtemp(prefix="keys-"))
        self.remote = bare_remote(self.root / "remote.git")
        self.ours: list[Machine] = []
        self.thieves: list[tuple[Machine, KeyRing, set[str]]] = []
        """Forgotten ones, with their keys and what the remote held when they were forgotten."""
        self.written: set[str] = set()
        self.counter = self.forged = 0

    def teardown(self) -> None:
        try:
            if self.ours:
                self.converge()
        finally:
            shutil.rmtree(self.root, ignore_errors=True)

    @initialize(count=st.integers(2, 3))
    def make(self, count: int) -> None:
        first = self.machine()
        key = str(first.sidecar.init(InitParams(str(self.remote)), Task()).recovery_key)
        self.vault = str(json.loads((first.own_state / "device.json").read_bytes())["vaultId"])
        for _ in range(count - 1):
            self.machine().sidecar.link(LinkParams(str(self.remote), key), Task())
        for one in self.ours:
            self.cycle(one)

    def machine(self) -> Machine:
        self.counter += 1
        made = from_schema(self.root / f"m{self.counter}")
        self.ours.append(made)
        return made

    def pick(self, index: int) -> Machine:
        return self.ours[index % len(self.ours)]

    @staticmethod
    def device(machine: Machine) -> str:
        return str(json.loads((machine.own_state / "device.json").read_bytes())["deviceId"])

    def key(self, but: Machine) -> str:
        """Of a machine that is up to date."""
        for one in self.ours:
            if one is not but:
                with contextlib.suppress(SidecarError):
                    one.sidecar.run(CycleParams(), Task())
                    return one.sidecar.show_key(ShowKeyParams(confirm=True), Task()).recovery_key
        raise AssertionError("nobody has the key")

    def cycle(self, machine: Machine) -> bool:
        """A cycle, as a person gets one done: with the key of another machine where this one was not known. Whether it had nothing to do."""
        try:
            return machine.sidecar.run(CycleParams(), Task()).up_to_date
        except SidecarError as error:
            if error.kind != "wrongKey":
                raise
            machine.sidecar.link(LinkParams(str(self.remote), self.key(machine)), Task())
            machine.sidecar.run(CycleParams(), Task())
            return False

    # --- what happens -------------------------------------------------------------------------------------------------
    @rule(index=st.integers(0, 3), record=st.booleans(), large=st.booleans())
    def write(self, index: int, record: bool, large: bool) -> None:
        machine = self.pick(index)
        self.counter += 1
        session, at = f"ses_{self.counter:04d}", int(time.time() * 1000) - 60_000
        connection = machine.connect()
        edits.new_session(connection, session, at)
        edits.add_turn(connection, session, f"{self.counter:04d}", at, "x" * (1_200_000 if large else 10))
        connection.close()
        self.written.add(session)
        if record:
            with contextlib.suppress(SidecarError):
                machine.sidecar.pull(CycleParams(), Task())

    @rule(index=st.integers(0, 3))
    def sync(self, index: int) -> None:
        self.cycle(self.pick(index))

    @rule(index=st.integers(0, 3))
    def rotate(self, index: int) -> None:
        machine = self.pick(index)
        with contextlib.suppress(SidecarError):
            machine.sidecar.rotate_key(RotateKeyParams(), Task())

    @rule(index=st.integers(0, 3), synced=st.booleans())
    def join(self, index: int, synced: bool) -> None:
        if len(self.ours) >= MOST:
            return
        key = self.key(self.pick(index)) if len(self.ours) > 1 else None
        if key is not None:
            made = self.machine()
            made.sidecar.link(LinkParams(str(self.remote), key), Task())
            if synced:
                self.cycle(made)

    @rule(index=st.integers(0, 3), by=st.integers(0, 3))
    def forget(self, index: int, by: int) -> None:
        lost, other = self.pick(index), self.pick(by)
        if len(self.ours) < 3 or lost is other:
            return
        self.cycle(lost)
        self.cycle(other)
        ring = KeyRing.from_json((lost.own_state / "keys.json").read_text())
        other.sidecar.forget_device(ForgetDeviceParams(self.device(lost)), Task())
        self.ours.remove(lost)
        self.thieves.append((lost, ring, self.objects()))

    @rule(index=st.integers(0, 3), victim=st.integers(0, 4))
    def forge(self, index: int, victim: int) -> None:
        """A forgotten one writes: in its own log, in one of ours, or under a new name. Everybody looks, then the remote is put right."""
        if not self.thieves:
            return
        thief, ring, _ = self.thieves[index % len(self.thieves)]
        names = [self.device(thief), "9" * 32, *map(self.device, self.ours)]
        self.forged += 1
        device = names[victim % len(names)]
        before = tamper.logs(self.remote).get(f"sessions/{device}")
        tamper.forge_turn(self.remote, Sealer(ring, self.vault), device, f"ses_forged{self.forged}")
        for one in self.ours:
            try:
                one.sidecar.run(CycleParams(), Task())
            except SidecarError as error:
                if error.kind not in ("wrongKey", "identityCloned"):
                    raise
        tamper.git(self.remote, "update-ref", *(["-d", f"refs/heads/sessions/{device}"] if before is None else [f"refs/heads/sessions/{device}", before]))

    # --- what must hold -----------------------------------------------------------------------------------------------
    def objects(self) -> set[str]:
        """Of the logs of those who are not forgotten: object and path."""
        branches = tamper.logs(self.remote)
        known = {f"sessions/{self.device(one)}" for one in self.ours}
        lines = [tamper.git(self.remote, "ls-tree", "-r", commit).splitlines() for branch, commit in branches.items() if branch in known]
        return {f"{line.split()[2]} {line.split()[3]}" for some in lines for line in some}

    def converge(self) -> None:
        for _ in range(6):
            if sum(self.cycle(one) for one in self.ours) == len(self.ours):
                break
        else:
            raise AssertionError("the machines never come to rest")
        contents = [one.content() for one in self.ours]
        assert all(content == contents[0] for content in contents), "the machines do not agree"
        present = {str(name) for name in contents[0]["session"]}
        assert not {name for name in present if "forged" in name}, "a forgotten device wrote into the conversations of the others"
        assert present <= self.written, "something came from nowhere"
        lost = self.written - present
        kept = {row[0] for thief, *_ in self.thieves for row in thief.sql("SELECT id FROM session")}
        assert lost <= kept, "what one of ours wrote is gone"
        for one in self.ours:
            assert one.sidecar.verify(VerifyParams(), Task()).ok
            one.check_integrity()
        for _, ring, before in self.thieves:
            for entry in self.objects() - before:
                name, path = entry.split(" ")
                data = tamper.blob(self.remote, name)
                assert ring.find(data[12:20] if path.startswith("seg/") else data[:8]) is None, f"a forgotten device can open {path}"


Keys.TestCase.settings = settings(
    phases=(Phase.explicit, Phase.reuse, Phase.generate),
    max_examples=EXAMPLES,
    stateful_step_count=STEPS,
    suppress_health_check=list(HealthCheck),
    print_blob=True,
)
TestKeys = Keys.TestCase
