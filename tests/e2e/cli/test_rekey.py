"""The vault's key changes: the other machines take the new one over by themselves, a forgotten one is shut out, and nothing is lost."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import keyring
import keyring.backend
import pytest

from protocol.config import ConfigSetParams
from protocol.keys import ForgetDeviceParams, RotateKeyParams, RotateKeyResult, ShowKeyParams
from protocol.sync import CycleParams, CycleResult, InitParams, LinkParams, StatusParams, VerifyParams
from sidecar.adapters.crypto import KeyRing, Sealer, VaultKey
from sidecar.adapters.git import VaultRepo
from sidecar.domain.errors import SidecarError
from sidecar.domain.task import Task
from tests.e2e.cli.test_keys import CANARY, PHRASE, turn
from tests.support import tamper
from tests.support.machines import Machine, bare_remote

Make = Callable[..., Machine]


def run(machine: Machine) -> CycleResult:
    return machine.sidecar.run(CycleParams(), Task())


def refused(work: Callable[[], object], kind: str) -> SidecarError:
    with pytest.raises(SidecarError) as caught:
        work()
    assert caught.value.kind == kind
    return caught.value


def rotate(machine: Machine, passphrase: str | None = None) -> RotateKeyResult:
    return machine.sidecar.rotate_key(RotateKeyParams(passphrase), Task())


def forget(machine: Machine, device: str) -> RotateKeyResult:
    return machine.sidecar.forget_device(ForgetDeviceParams(device), Task())


def link(machine: Machine, remote: Path, key: str, *, new_device: bool = False) -> None:
    machine.sidecar.link(LinkParams(str(remote), key, new_device=new_device), Task())


def shown(machine: Machine) -> str:
    return machine.sidecar.show_key(ShowKeyParams(confirm=True), Task()).recovery_key


def pull(machine: Machine) -> None:
    """Record what is new here, and push nothing."""
    machine.sidecar.pull(CycleParams(), Task())


def sessions(machine: Machine) -> set[str]:
    return {row[0] for row in machine.sql("SELECT id FROM session")}


def ring_of(machine: Machine) -> KeyRing:
    return KeyRing.from_json((machine.own_state / "keys.json").read_text())


def manifest_of(remote: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(tamper.git(remote, "show", "main:.opencode-sidecar/vault.json"))
    return found


def put_manifest(remote: Path, manifest: dict[str, Any]) -> None:
    tamper.rewrite(remote, "main", lambda tree: (tree / ".opencode-sidecar/vault.json").write_text(json.dumps(manifest)))


class Three:
    """Machines that know each other; `c` is the one that may be forgotten."""

    def __init__(self, make: Make, remote: Path) -> None:
        self.remote, self.a, self.b, self.c = remote, make("a"), make("b"), make("c")
        self.key = str(self.a.sidecar.init(InitParams(str(remote)), Task()).recovery_key)
        for one in (self.b, self.c):
            link(one, remote, self.key)
        self.vault = str(json.loads((self.a.own_state / "device.json").read_bytes())["vaultId"])
        for number, one in enumerate((self.c, self.a)):  # `b` has nothing to say, and is known all the same
            turn(one, str(number + 1))
        for one in (self.c, self.a, self.b, self.c, self.a):
            run(one)

    def settle(self, *machines: Machine) -> None:
        for _ in range(2):
            for one in machines:
                assert run(one).warnings == []
        contents = [one.content() for one in machines]
        assert all(content == contents[0] for content in contents), "the machines do not agree"
        for one in machines:
            assert run(one).up_to_date, "a machine does something in every cycle"
            seen = one.sidecar.verify(VerifyParams(), Task())
            assert seen.ok, seen.differences


@pytest.fixture
def three(machine: Make, remote: Path) -> Three:
    return Three(machine, remote)


def old_key_in_new_objects(remote: Path, ring: KeyRing, before: dict[str, str], *, but: str = "") -> list[str]:
    """What came into the logs since `before` and can be opened with the keys of a ring: paths."""
    found = []
    for branch, commit in tamper.logs(remote).items():
        known = set(tamper.git(remote, "ls-tree", "-r", "--name-only", before[branch]).splitlines()) if branch in before else set()
        for path in set(tamper.git(remote, "ls-tree", "-r", "--name-only", commit).splitlines()) - known | {"head"}:
            data = tamper.blob(remote, f"{commit}:{path}")
            if branch != f"sessions/{but}" and ring.find(data[12:20] if path.startswith("seg/") else data[:8]) is not None:
                found.append(f"{branch} {path}")
    return found


def test_the_others_take_a_new_key_over_by_themselves(three: Three, machine: Make, remote: Path) -> None:
    """As people and scripts see it, and with a large value that was recorded under the old key."""
    a, b, c = three.a, three.b, three.c
    old, before = ring_of(b), tamper.logs(remote)
    turn(b, "3", "x" * 3_000_000)
    pull(b)
    done = a.cli("rotate-key")
    assert len(done["givenTo"]) == 2, "a machine that never wrote anything is left without the key"
    turn(a, "4")
    turn(c, "5")
    run(a)
    told = b.cli("sync")
    assert told["warnings"] == []
    assert len(told["notices"]) == 1
    assert "new key" in told["notices"][0]
    assert b.sidecar.status(StatusParams(), Task()).key_changed is not None
    assert "🔑" in b.run("status").stdout
    assert shown(b) == done["recoveryKey"], "the machine is on another key than the vault"
    run(c)
    three.settle(a, b, c)
    assert sessions(a) == {f"ses_{number}" for number in (1, 2, 3, 4, 5)}, "what was recorded before the new key arrived is lost"
    assert run(b).notices == [], "it is told over and over"
    assert old_key_in_new_objects(remote, old, before) == [], "a conversation was pushed under the key that was replaced"
    late = machine("late")
    link(late, remote, done["recoveryKey"])
    three.settle(a, b, c, late)


def test_a_machine_that_missed_several_changes_takes_the_last(three: Three) -> None:
    a, b, c = three.a, three.b, three.c
    turn(c, "3")
    pull(c)
    for number, one in enumerate((a, b, a)):
        run(one)
        key = rotate(one).recovery_key
        turn(one, str(10 + number))
        run(one)
    assert run(c).notices
    assert shown(c) == key
    three.settle(a, b, c)
    assert "ses_3" in sessions(a)


def test_a_forgotten_device_reads_nothing_more_and_is_read_no_more(three: Three, machine: Make, remote: Path) -> None:
    a, b, c = three.a, three.b, three.c
    lost, ring = c.device_id, ring_of(c)
    refused(lambda: forget(a, "0" * 32), "invalidParams")
    refused(lambda: forget(a, a.device_id), "invalidParams")
    turn(b, "6", CANARY)
    pull(b)
    before = tamper.logs(remote)
    new = a.cli("forget-device", lost)
    assert len(new["givenTo"]) == 1
    turn(a, "3", CANARY)
    turn(c, "4", "from the stolen laptop")
    three.settle(a, b)
    for _ in range(2):
        assert "forgotten" in refused(lambda: run(c), "wrongKey").message
    three.settle(a, b)
    assert "ses_3" not in sessions(c), "a stolen laptop reads on"
    assert "ses_4" not in sessions(a) | sessions(b), "a stolen laptop writes into the conversations of the others"
    assert {"ses_1", "ses_2", "ses_3", "ses_6"} <= sessions(a), "what the device had written before is gone"
    assert old_key_in_new_objects(remote, ring, before, but=lost) == [], "the forgotten device can open what came after"
    assert lost not in json.dumps(manifest_of(remote)["members"])
    tamper.git(remote, "update-ref", "-d", f"refs/heads/sessions/{lost}")
    late = machine("late")
    link(late, remote, new["recoveryKey"])
    run(late)
    assert {"ses_1", "ses_2", "ses_3"} <= sessions(late), "a machine that joins later lacks what the forgotten device had written before"
    refused(lambda: forget(a, lost), "invalidParams")
    link(c, remote, new["recoveryKey"], new_device=True)
    run(c)
    three.settle(a, b, c)
    assert "ses_4" in sessions(a), "who was forgotten by mistake comes back without what was written meanwhile"


def test_whoever_kept_the_old_key_writes_under_no_name(three: Three, remote: Path) -> None:
    """Neither under its own, nor under a new one, nor in the log of a machine that has the new key, or has not taken it over yet."""
    a, b, c = three.a, three.b, three.c
    lost, sealer, first = c.device_id, Sealer(ring_of(c), three.vault), tamper.git(remote, "rev-parse", "main")
    forget(a, lost)
    run(a)
    run(b)
    true, logs, new = tamper.git(remote, "rev-parse", "main"), tamper.logs(remote), ring_of(a)
    turn(c, "4")
    tamper.point(remote, "main", first)  # its program is not told that it was forgotten
    run(c)
    tamper.point(remote, "main", true)
    assert tamper.logs(remote)[f"sessions/{lost}"] != logs[f"sessions/{lost}"]
    tamper.forge_turn(remote, sealer, "9" * 32, "ses_forged1")
    for one in (b, a, b):
        assert run(one).warnings, "a log that nobody should have is passed over in silence"
    tamper.git(remote, "update-ref", "-d", f"refs/heads/sessions/{'9' * 32}")
    for number, (victim, witness) in enumerate(((a, b), (b, a)), 2):
        log = f"sessions/{victim.device_id}"
        true = tamper.logs(remote)[log]
        head = tamper.blob(remote, f"{true}:head")
        tamper.forge_turn(remote, sealer, victim.device_id, f"ses_forged{number}")
        run(witness)
        assert refused(lambda victim=victim: run(victim), "identityCloned")  # type: ignore[misc]
        # With the true head, which is under the new key, on top of the forged segment.
        tamper.rewrite(remote, log, lambda tree, head=head: (tree / "head").write_bytes(head))  # type: ignore[misc]
        run(witness)
        tamper.point(remote, log, true)
        run(witness)
    assert new.current == ring_of(b).current
    for one in (a, b):
        assert not {name for name in sessions(one) if "forged" in name or name == "ses_4"}, "a forgotten device goes on writing"
    three.settle(a, b)
    tamper.forge_turn(remote, Sealer(new, three.vault), "9" * 32, "ses_control")
    run(b)
    assert "ses_control" in sessions(b), "the forgery would not have been taken with the right key either: this test shows nothing"


def test_two_machines_change_the_key_at_the_same_moment(three: Three) -> None:
    """Each on top of the other, whoever is second."""
    a, b, c = three.a, three.b, three.c
    with ThreadPoolExecutor(2) as pool:
        assert {result.recovery_key for result in pool.map(rotate, (a, b))} & {shown(a), shown(b)}
    for number, one in enumerate((a, b, c)):
        turn(one, str(20 + number))
        run(one)
    three.settle(a, b, c)
    assert len({shown(one) for one in (a, b, c)}) == 1, "two machines print different keys for one vault"
    assert len(ring_of(c).retired) >= 2


def test_a_manifest_that_went_back_is_refused_and_put_right(three: Three, remote: Path) -> None:
    a, b, c = three.a, three.b, three.c
    first = tamper.git(remote, "rev-parse", "main")
    rotate(a)
    for one in (a, b):
        run(one)
    tamper.point(remote, "main", first)
    turn(b, "7", CANARY)
    for _ in range(2):
        assert any("went back" in text for text in run(b).warnings), "a remote takes a key back, and nobody is told"
    assert ring_of(b).current == ring_of(a).current
    refused(lambda: link(b, remote, three.key), "remoteNotVault")
    rotate(b)
    for one in (a, b, c):
        run(one)
    three.settle(a, b, c)
    assert len({shown(one) for one in (a, b, c)}) == 1


def test_a_manifest_that_somebody_edited_moves_nobody(three: Three, remote: Path) -> None:
    a, b, c = three.a, three.b, three.c
    rotate(a)
    true, before = manifest_of(remote), ring_of(b)
    turn(b, "8")
    for change in ("by", "swap", "proof", "box", "key", "mac", "public", "gone", "other"):
        manifest = manifest_of(remote)
        mine, other = (next(entry for entry in manifest["members"] if entry["device"] == one.device_id) for one in (b, c))
        match change:
            case "by":
                manifest["by"] = c.device_id
            case "swap":
                mine["box"], other["box"] = other["box"], mine["box"]
            case "proof":
                manifest["retired"][0]["proof"] = "0" * 64
            case "box":
                mine["box"] = "AAAA"
            case "key":
                manifest["key"]["id"] = "0" * 16
            case "mac":
                manifest["mac"] = "0" * 64
            case "public":
                mine["publicKey"] = other["publicKey"]
            case "gone":
                manifest["members"] = None
            case "other":
                manifest = KeyRing(VaultKey.new()).manifest(three.vault, 1, kept={"format": 1})
        put_manifest(remote, manifest)
        assert run(b).warnings, f"{change}: a manifest was changed, and nobody is told"
        assert ring_of(b).current == before.current, change
        put_manifest(remote, true)
    assert run(b).notices
    three.settle(a, b, c)


def test_a_device_that_nobody_knew_of_is_told_what_to_do(three: Three, machine: Make, remote: Path) -> None:
    late = machine("late")
    link(late, remote, three.key)
    new = rotate(three.a).recovery_key
    turn(late, "9")
    assert "--key-file" in refused(lambda: run(late), "wrongKey").remedy
    error = late.sidecar.status(StatusParams(), Task()).last_error
    assert error is not None
    assert error.kind == "wrongKey"
    refused(lambda: link(late, remote, three.key), "wrongKey")
    link(late, remote, new)
    run(late)
    three.settle(three.a, three.b, three.c, late)
    assert "ses_9" in sessions(three.a), "what it wrote before it had the new key is lost"


def test_a_device_that_never_wrote_anything_may_change_the_key(three: Three, machine: Make, remote: Path) -> None:
    late = machine("late")
    link(late, remote, three.key)
    rotate(late)
    assert run(three.a).notices
    three.settle(three.a, three.b, three.c, late)


def test_a_passphrase_is_asked_for_again(machine: Make, remote: Path) -> None:
    a, b, c = machine("a"), machine("b"), machine("c")
    a.sidecar.init(InitParams(str(remote), passphrase=PHRASE), Task())
    b.sidecar.link(LinkParams(str(remote), passphrase=PHRASE), Task())
    for one in (a, b, a):
        run(one)
    refused(lambda: rotate(a, PHRASE), "invalidParams")  # with the old manifest put back, it would give a new machine the old key
    assert rotate(a).passphrase_gone
    assert not rotate(b, PHRASE + " and a cart").passphrase_gone
    refused(lambda: c.sidecar.link(LinkParams(str(remote), passphrase=PHRASE), Task()), "wrongKey")
    c.sidecar.link(LinkParams(str(remote), passphrase=PHRASE + " and a cart"), Task())
    turn(a, "1")
    for one in (a, b, c):
        run(one)
    assert sessions(b) == sessions(c) == {"ses_1"}


def test_another_public_key_under_a_known_name_is_told_and_gets_nothing(three: Three, remote: Path) -> None:
    """A machine that lost its keys and was linked again: nobody can tell it from an impostor."""
    a, b, c = three.a, three.b, three.c
    (c.own_state / "keys.json").unlink()
    link(c, remote, three.key)
    turn(c, "7")
    run(c)
    assert any("public key" in text for text in run(a).warnings)
    assert "ses_7" in sessions(a)
    key = rotate(a).recovery_key
    refused(lambda: run(c), "wrongKey")
    link(c, remote, key, new_device=True)
    for one in (c, a, b):
        run(one)
    rotate(a)
    assert run(c).notices, "a machine with a new identity does not get the next key"


def test_a_machine_in_the_middle_of_a_cycle_loses_nothing(three: Three, monkeypatch: pytest.MonkeyPatch) -> None:
    """It had asked the remote before the key was changed, and pushes under the old one after."""
    a, b, c = three.a, three.b, three.c
    turn(b, "7")
    real = VaultRepo.remote_heads

    def slow(self: VaultRepo, task: Task) -> dict[str, str]:
        found = real(self, task)
        monkeypatch.setattr(VaultRepo, "remote_heads", real)
        rotate(a)
        return found

    monkeypatch.setattr(VaultRepo, "remote_heads", slow)
    run(b)
    assert run(a).warnings == []
    assert "ses_7" not in sessions(a), "what nobody with the new key vouches for was applied"
    run(b)
    three.settle(a, b, c)
    assert "ses_7" in sessions(a), "a turn that was pushed while the key was changed is lost"


def test_a_lost_shadow_changes_nothing_about_whom_to_trust(three: Three, remote: Path) -> None:
    a, b, c = three.a, three.b, three.c
    lost = c.device_id
    forget(a, lost)
    for one in (a, b):
        run(one)
    tamper.forge_turn(remote, Sealer(ring_of(c), three.vault), a.device_id, "ses_forged")
    logs = tamper.logs(remote)
    for path in b.own_state.glob("shadow.db*"):
        path.unlink()
    run(b)
    assert "ses_forged" not in sessions(b)
    tamper.point(remote, f"sessions/{a.device_id}", tamper.git(remote, "rev-parse", f"{logs[f'sessions/{a.device_id}']}^"))
    for one in (b, a, b):
        run(one)
    three.settle(a, b)


def test_whoever_kept_the_old_key_changes_no_configuration(three: Three, remote: Path) -> None:
    """A plugin that it pushes right after it was forgotten, before any other machine has sealed the configuration anew, would be run everywhere."""
    a, b, c = three.a, three.b, three.c
    folders = [one.settings.config_root for one in (a, b, c)]
    for one, folder in zip((a, b, c), folders, strict=True):
        one.sidecar.config_set(ConfigSetParams({"includeConfig": True}), Task())
        (folder / "plugins").mkdir()
    (folders[2] / "AGENTS.md").write_text("before\n")
    for one in (c, a, b):
        run(one)
    first = tamper.git(remote, "rev-parse", "main")
    (folders[0] / "plugins/mine.js").write_text("// mine\n")
    run(a)
    forget(a, c.device_id)
    true = tamper.git(remote, "rev-parse", "main")
    tamper.point(remote, "main", first)
    (folders[2] / "plugins/evil.js").write_text("// evil\n")
    assert run(c).config["out"], "the forgotten machine pushed nothing: this test shows nothing"
    tamper.point(remote, "main", true)
    (folders[1] / "AGENTS.md").write_text("after\n")
    for one in (b, a, b):
        run(one)
    for folder in folders[:2]:
        assert not (folder / "plugins/evil.js").exists(), "a forgotten machine has a plugin run on the others"
        assert (folder / "AGENTS.md").read_text() == "after\n"
        assert (folder / "plugins/mine.js").exists()
    assert run(b).up_to_date


def test_a_new_device_with_a_wrong_key_leaves_the_machine_as_it_was(three: Three, machine: Make, remote: Path) -> None:
    other = str(machine("other").sidecar.init(InitParams(), Task()).recovery_key)
    before = three.b.device_id, ring_of(three.b)
    refused(lambda: link(three.b, remote, other, new_device=True), "wrongKey")
    assert (three.b.device_id, ring_of(three.b)) == before, "a mistyped key takes a linked machine out of its vault"
    three.settle(three.a, three.b, three.c)
    link(three.b, remote, three.key, new_device=True)
    assert ring_of(three.b).private != before[1].private


class Memory(keyring.backend.KeyringBackend):
    """A keyring as the system has it, in memory."""

    priority = 1

    def __init__(self) -> None:
        super().__init__()
        self.kept: dict[tuple[str, str], str] = {}

    def get_password(self, service: str, username: str) -> str | None:
        return self.kept.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        assert len(password) < 1200, "the credential manager of Windows refuses it"
        self.kept[service, username] = password


def test_a_key_in_the_systems_keyring_changes_as_well(machine: Make, remote: Path) -> None:
    before = keyring.get_keyring()
    keyring.set_keyring(Memory())
    try:
        a, b, c = machine("a"), machine("b"), machine("c")
        key = a.sidecar.init(InitParams(str(remote), key_store="keyring"), Task()).recovery_key
        for one in (b, c):
            one.sidecar.link(LinkParams(str(remote), key, key_store="keyring"), Task())
        turn(c, "1")
        for one in (b, c, a):
            run(one)
        done = rotate(a)
        for one in (a, b, c):
            run(one)
        assert {shown(one) for one in (a, b, c)} == {done.recovery_key}
        assert sessions(b) == {"ses_1"}
        for one in (a, b, c):
            kept = (one.own_state / "keys.json").read_text()
            assert not {"keys", "pending", "private"} & json.loads(kept).keys(), "the keyring holds the key, and a file does as well"
    finally:
        keyring.set_keyring(before)


def test_a_vault_that_moved_keeps_its_members(three: Three, tmp_path: Path) -> None:
    other = bare_remote(tmp_path / "other.git")
    rotate(three.a)
    for one in (three.a, three.b, three.c):
        one.sidecar.init(InitParams(move_to=str(other)), Task())
    assert len(rotate(three.b).given_to) == 2
    for one in (three.a, three.b, three.c):
        run(one)
    three.settle(three.a, three.b, three.c)


def test_a_change_of_the_key_never_overwrites_another_vault(three: Three, machine: Make, remote: Path) -> None:
    other = machine("other")
    other.sidecar.init(InitParams(), Task())
    foreign = other.own_state / "embedded.git"
    tamper.git(remote, "fetch", "-q", str(foreign), "main")
    tamper.point(remote, "main", tamper.git(foreign, "rev-parse", "main"))
    refused(lambda: rotate(three.a), "remoteNotVault")
